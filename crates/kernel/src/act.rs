//! stub
/// k
pub struct Kernel;
/// a
pub struct Act;
/// d
pub struct Done;
