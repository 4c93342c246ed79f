//! Runs the hidden entry points of the backend, for the integration tests.

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let code = match arguments.split_first() {
        Some((first, rest)) if first == runtime_containerd::LOGGER_ARGUMENT => runtime_containerd::logger_main(rest),
        _ => 2,
    };
    std::process::ExitCode::from(u8::try_from(code).unwrap_or(1))
}
