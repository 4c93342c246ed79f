//! How the program is linked.

#[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through the environment")]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A program at a fixed address starts without tens of thousands of relocations, which take a
    // fifth of the memory of a small command. The reference is linked so too.
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && is("PROFILE", "release") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
