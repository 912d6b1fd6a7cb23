//! OpenTelemetry metrics (OTLP), as protocol buffers and as JSON, in Prometheus's names.
//!
//! Both encodings fill the same [model](model), and one place makes series of it, as Prometheus's own OTLP receiver names them:
//! `service.name` becomes `job`, the unit and `_total` become suffixes, other resource attributes go to `target_info`. Points that
//! a Prometheus-like engine cannot keep (delta temporality) are listed as rejected, for the partial success of the answer. Scopes
//! are not made labels.

mod model;
mod naming;
mod series;
mod wire;

use super::{Batch, FormatError, Limits, within};

/// Reads `ExportMetricsServiceRequest` as protocol buffers (`application/x-protobuf`, or the message of a gRPC call), not compressed.
///
/// # Errors
/// [`FormatError`]; nothing of the body counts then.
pub fn decode(body: &[u8], limits: Limits) -> Result<Batch, FormatError> {
    within("bytes", body.len(), limits.bytes)?;
    series::batch(&wire::request(body)?, limits)
}

/// Reads the same as JSON (`application/json`).
///
/// # Errors
/// [`FormatError`]; nothing of the body counts then.
pub fn decode_json(body: &[u8], limits: Limits) -> Result<Batch, FormatError> {
    within("bytes", body.len(), limits.bytes)?;
    let request = serde_json::from_slice(body).map_err(|e| FormatError::Json { reason: e.to_string() })?;
    series::batch(&request, limits)
}

#[cfg(test)]
mod tests;
