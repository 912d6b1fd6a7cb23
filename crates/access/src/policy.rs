//! Stub.
use kernel::query::Column;
use kernel::Kind;
/// x
pub trait Classes: Send + Sync + 'static {
    /// x
    fn verb(&self, kind: &Kind) -> Option<&'static str>;
    /// x
    fn column(&self, kind: &Kind, field: &str) -> Option<Column>;
}
impl Classes for () {
    fn verb(&self, _: &Kind) -> Option<&'static str> { None }
    fn column(&self, _: &Kind, _: &str) -> Option<Column> { None }
}
/// x
pub struct Policies;
/// x
pub struct PolicyError;
impl Policies {
    /// x
    pub fn built_in() -> Self { Self }
}
