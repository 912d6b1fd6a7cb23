//! The number by which the engine knows a tenant.

use kernel::TenantId;

/// The engine's number of a tenant: the same at every start.
pub fn number(tenant: TenantId) -> u64 {
    tenant.0.unsigned_abs()
}
