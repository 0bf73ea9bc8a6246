//! The JSON Schema of the language, from the very types that read the file.

use crate::file::Blueprint;
use serde_json::Value;

/// The JSON Schema of a blueprint, for editors.
pub fn schema() -> Value {
    schemars::schema_for!(Blueprint).to_value()
}
