//! Runs the hidden entry points of the backend, for the integration tests.

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let code = match arguments.split_first() {
        Some((first, rest)) if first == runtime_containerd::LOGGER_ARGUMENT => runtime_containerd::logger_main(rest),
        Some((first, rest)) if first == runtime_containerd::SUPERVISOR_ARGUMENT => {
            match rest.first().and_then(|argument| runtime_containerd::settings_of(argument)) {
                Some(settings) => runtime_containerd::supervisor_main(&settings, &runtime_containerd::Manner::OnDemand),
                None => 2,
            }
        }
        _ => 2,
    };
    std::process::ExitCode::from(u8::try_from(code).unwrap_or(1))
}
