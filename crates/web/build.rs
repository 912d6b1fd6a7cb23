//! Builds the crate anew when the console has been built anew: what is embedded is what is there.

fn main() {
    println!("cargo::rerun-if-changed=../../console/dist");
}
