//! `bp schema`: the JSON Schema of blueprints, for editors.

use crate::exit::{Error, Exit};
use crate::view;

/// Prints it.
///
/// # Errors
/// Never.
pub fn run() -> Result<Exit, Error> {
    view::line(&serde_json::to_string_pretty(&blueprints::schema()).unwrap_or_default());
    Ok(Exit::Done)
}
