//! The JSON Schema of the language, from the very types that read the file.

use crate::file::Blueprint;
use serde_json::{Value, json};

/// The JSON Schema of a blueprint, for editors.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Blueprint).to_value();
    let definitions = schema.get_mut("$defs").and_then(Value::as_object_mut);
    for definition in definitions.into_iter().flat_map(|d| d.values_mut()) {
        take_nothing(definition);
        fields_take_nothing(definition);
    }
    fields_take_nothing(&mut schema);
    schema
}

/// A section whose content is commented out is an empty one: `node1:` is `node1: {}`.
fn take_nothing(schema: &mut Value) {
    if let Some(kind @ ("object" | "array")) = schema["type"].as_str() {
        schema["type"] = json!([kind, "null"]);
    }
}

fn fields_take_nothing(schema: &mut Value) {
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    fields.into_iter().flat_map(|f| f.values_mut()).for_each(take_nothing);
}
