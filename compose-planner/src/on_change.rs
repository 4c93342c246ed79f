//! What a changed config or secret does to the containers that have it (`x-on-change`).

use compose_model::project::{Extensions, FileObject, FileReference};

/// The extension attribute, on a config or secret, or on a service's reference to it.
pub(crate) const ATTRIBUTE: &str = "x-on-change";

/// What happens; a later one does more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OnChange {
    /// Nothing.
    Ignore,
    /// The content is copied in and the process gets this signal.
    Signal(String),
    /// The container is stopped, the content is copied in, and it is started.
    Restart,
    /// The container is replaced.
    Recreate,
}

impl OnChange {
    /// Whether the content has to be a copy in the container, so that what was delivered can be
    /// told from what the host has.
    pub(crate) const fn needs_copy(&self) -> bool {
        matches!(self, Self::Signal(_) | Self::Restart)
    }
}

/// What the reference asks for, else the object, else [`OnChange::Recreate`].
///
/// # Errors
/// What is wrong with the attribute.
pub(crate) fn of(reference: &FileReference, object: &FileObject) -> Result<OnChange, String> {
    let written = |extensions: &Extensions| extensions.get(ATTRIBUTE).cloned();
    let Some(value) = written(&reference.extensions).or_else(|| written(&object.extensions)) else {
        return Ok(OnChange::Recreate);
    };
    match value.as_str() {
        Some("recreate") => Ok(OnChange::Recreate),
        Some("restart") => Ok(OnChange::Restart),
        Some("ignore") => Ok(OnChange::Ignore),
        Some(text) => match text.strip_prefix("signal:") {
            Some(signal) if is_signal(signal) => {
                let prefix = if signal.starts_with("SIG") || signal.bytes().all(|byte| byte.is_ascii_digit()) {
                    ""
                } else {
                    "SIG"
                };
                Ok(OnChange::Signal(format!("{prefix}{signal}")))
            }
            _ => Err(problem(text)),
        },
        None => Err(problem(&value.to_string())),
    }
}

fn is_signal(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"+-".contains(&byte))
}

fn problem(text: &str) -> String {
    format!("{text:?} is none of \"recreate\", \"restart\", \"signal:NAME\" (for example signal:HUP) and \"ignore\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_counts_for_more_than_the_object() {
        let with = |text: Option<&str>| {
            text.map(|text| (ATTRIBUTE.to_owned(), text.into())).into_iter().collect::<Extensions>()
        };
        let of = |reference: Option<&str>, object: Option<&str>| {
            of(
                &FileReference { extensions: with(reference), ..FileReference::default() },
                &FileObject { extensions: with(object), ..FileObject::default() },
            )
        };
        assert_eq!(of(None, None), Ok(OnChange::Recreate));
        assert_eq!(of(None, Some("restart")), Ok(OnChange::Restart));
        assert_eq!(of(Some("ignore"), Some("restart")), Ok(OnChange::Ignore));
        assert_eq!(of(Some("signal:HUP"), None), Ok(OnChange::Signal("SIGHUP".to_owned())));
        assert_eq!(of(Some("signal:SIGUSR1"), None), Ok(OnChange::Signal("SIGUSR1".to_owned())));
        for wrong in ["signal:", "signal:hup; rm", "reload"] {
            assert!(of(Some(wrong), None).unwrap_err().contains("is none of"), "{wrong}");
        }
    }
}
