//! `logging` of a service, as the log process reads it.

use compose_planner::spec::ContainerSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;

use crate::client::{local, unsupported};
use crate::core::Core;
use crate::logger::{LogSettings, OPTIONS_FILE};

impl Core {
    pub(crate) fn write_log_options(&self, id: &str, spec: &ContainerSpec) -> Result<()> {
        let directory = self.data_directory(id);
        let mut settings =
            LogSettings { path: directory.join(format!("{id}-json.log")), max_files: 1, ..LogSettings::default() };
        if let Some(logging) = &spec.logging {
            match logging.driver.as_str() {
                "" | "json-file" | "local" => {}
                "none" => settings.discard = true,
                other => return Err(unsupported(&format!("use the log driver `{other}`"))),
            }
            let wrong = |key: &str, value: &str| RuntimeError::Invalid {
                message: format!("invalid log option: `{key}: {value}`"),
            };
            for (key, value) in &logging.options {
                match key.as_str() {
                    "max-size" if value == "-1" => {}
                    "max-size" => settings.max_size = size(value).ok_or_else(|| wrong(key, value))?,
                    "max-file" => settings.max_files = value.parse().map_err(|_| wrong(key, value))?,
                    "mode" | "compress" | "labels" | "env" | "tag" | "max-buffer-size" => {}
                    _ => return Err(unsupported(&format!("use the log option `{key}`"))),
                }
            }
        }
        let bytes = serde_json::to_vec(&settings).map_err(|error| local(OPTIONS_FILE, error))?;
        let path = directory.join(OPTIONS_FILE);
        std::fs::write(&path, bytes).map_err(|error| local(path.display(), error))
    }
}

/// `10m`, `100k`, `1g`: powers of 1024, as dockerd reads them.
fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|character: char| !character.is_ascii_digit()).unwrap_or(lower.len());
    let factor = match lower[digits..].trim_end_matches('b') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    lower[..digits].parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_dockerd_reads_them() {
        for (text, wanted) in [("10m", Some(10 << 20)), ("1k", Some(1024)), ("5", Some(5)), ("1gb", Some(1 << 30))] {
            assert_eq!(size(text), wanted, "{text}");
        }
        assert_eq!(size("ten"), None);
    }
}
