//! `bp schema`: the JSON Schema of blueprints, for editors.

use crate::exit::{Error, Exit};
use crate::view;

/// Prints it; as JSON lines, within the one that says that this was all.
///
/// # Errors
/// Never.
pub fn run(json: bool) -> Result<Exit, Error> {
    let schema = blueprints::schema();
    if json {
        view::json_line("done", &serde_json::json!({ "verb": "schema", "schema": schema }));
    } else {
        view::line(&serde_json::to_string_pretty(&schema).unwrap_or_default());
    }
    Ok(Exit::Done)
}
