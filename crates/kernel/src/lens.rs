//! Lenses: how one domain reads the part it needs of another domain's records without depending on it.
//!
//! A lens is a struct with the few fields it reads. The registry refuses to start when a lens cannot see: the class is missing, a
//! field is missing, or it holds something else.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::class::ClassRef;
use crate::ids::Kind;
use crate::record::Record;
use crate::shape::Field;

/// What a lens expects, for the check at start.
#[derive(Clone, Debug)]
pub struct LensDef {
    /// Name of the struct, for the message.
    pub name: &'static str,
    /// Class it looks at.
    pub kind: &'static str,
    /// Fields it reads.
    pub fields: Result<Vec<Field>, String>,
}

impl LensDef {
    /// A lens `T` on records of `kind`.
    pub fn of<T: JsonSchema>(kind: &'static str) -> Self {
        Self { name: std::any::type_name::<T>(), kind, fields: crate::define::fields_of::<T>() }
    }

    /// What it cannot see.
    pub fn faults(&self, classes: &BTreeMap<Kind, ClassRef>) -> Vec<String> {
        let Some(class) = classes.get(&Kind::new(self.kind)) else {
            return vec![format!("lens {}: class {} does not exist", self.name, self.kind)];
        };
        let fields = match &self.fields {
            Ok(fields) => fields,
            Err(why) => return vec![format!("lens {}: {why}", self.name)],
        };
        let mut wrong = Vec::new();
        for field in fields {
            match class.field(&field.name) {
                None => wrong.push(format!("lens {}: class {} has no field {}", self.name, self.kind, field.name)),
                Some(real) if real.word != field.word => {
                    wrong.push(format!(
                        "lens {}: {}.{} holds {:?}, not {:?}",
                        self.name, self.kind, field.name, real.word, field.word
                    ));
                }
                Some(_) => {}
            }
        }
        wrong
    }
}

/// Reads a record's fields through a lens or as its own struct; unknown fields are left alone.
///
/// # Errors
/// The sentence of the deserialiser: the record was written by another version of its class.
pub fn read<T: DeserializeOwned>(record: &Record) -> Result<T, String> {
    serde_json::from_value(Value::Object(record.fields.clone()))
        .map_err(|e| format!("{} {}: {e}", record.kind, record.key))
}
