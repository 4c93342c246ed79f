//! The Compose files that are measured.

use std::fmt::Write as _;

/// A project to be read: each service with the attributes that most have.
pub(crate) fn configured(count: usize) -> String {
    let mut text = String::from("services:\n");
    for index in 0..count {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  service{index}:\n    image: example/app:1\n    environment:\n      LOG: info\n      NUMBER: \"{index}\"\n\
             \x20   ports:\n      - \"{}:80\"\n    volumes:\n      - data:/data\n    networks:\n      - net\n    restart: always",
            10_000 + index
        );
        // Groups of ten: one chain through all is no project that anybody has.
        if index % 10 > 0 {
            let _ = writeln!(text, "    depends_on:\n      - service{}", index - 1);
        }
    }
    text.push_str("networks:\n  net:\nvolumes:\n  data:\n");
    text
}

/// A project to be run.
pub(crate) fn running(count: usize) -> String {
    let mut text = String::from("services:\n");
    for index in 0..count {
        let _ = writeln!(text, "  service{index}:\n    image: {IMAGE}");
    }
    text
}

/// The image of [`running`]: a small server that ends when it is asked to.
pub(crate) const IMAGE: &str = "example/app:1";

/// How often a health check of [`healthy_chain`] is made, in milliseconds.
pub(crate) const PROBE_INTERVAL: u64 = 200;

/// Services that each wait for the one before to be healthy.
pub(crate) fn healthy_chain(length: usize) -> String {
    let mut text = String::from("services:\n");
    for index in 0..length {
        let _ = writeln!(
            text,
            "  service{index}:\n    image: busybox\n    command: [sleep, \"1000\"]\n    stop_signal: SIGKILL\n\
             \x20   healthcheck: {{test: [CMD, \"true\"], interval: {PROBE_INTERVAL}ms}}"
        );
        if index > 0 {
            let _ = writeln!(text, "    depends_on: {{service{}: {{condition: service_healthy}}}}", index - 1);
        }
    }
    text
}

/// Jobs that each wait for the one before to complete.
pub(crate) fn job_chain(length: usize) -> String {
    let mut text = String::from("services:\n");
    for index in 0..length {
        let _ = writeln!(text, "  service{index}:\n    image: busybox\n    command: [\"true\"]");
        if index > 0 {
            let condition = "service_completed_successfully";
            let _ = writeln!(text, "    depends_on: {{service{}: {{condition: {condition}}}}}", index - 1);
        }
    }
    text
}
