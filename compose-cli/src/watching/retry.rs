//! What could not be brought into containers, and when it is tried again.

use std::collections::BTreeMap;
use std::time::Duration;

use compose_model::names::ServiceName;
use tokio::time::Instant;

use super::sources::Changes;

/// The pause before the first further try; each later one is twice as long.
const FIRST: Duration = Duration::from_millis(500);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// Services whose changes failed.
#[derive(Debug, Default)]
pub(crate) struct Failed {
    services: BTreeMap<ServiceName, Entry>,
}

#[derive(Debug)]
struct Entry {
    changes: Changes,
    message: String,
    pause: Duration,
    due: Instant,
}

impl Failed {
    /// When the next one is to be tried again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.services.values().map(|entry| entry.due).min()
    }

    /// What is still to be brought to each service, with what has changed since.
    pub(crate) fn with(&self, later: &Changes) -> impl Iterator<Item = (&ServiceName, Changes)> {
        self.services.iter().map(|(service, entry)| {
            let mut changes = entry.changes.clone();
            changes.extend(later.clone());
            (service, changes)
        })
    }

    /// Keeps changes that a service did not get at that time. Whether the message is new.
    pub(crate) fn keep(&mut self, service: &ServiceName, changes: &Changes, message: &str, now: Instant) -> bool {
        let pause = self.services.get(service).map_or(FIRST, |entry| (entry.pause * 2).min(LONGEST));
        let due = now + pause;
        match self.services.get_mut(service) {
            Some(entry) => {
                entry.changes.extend(changes.clone());
                (entry.pause, entry.due) = (pause, due);
                let known = entry.message == message;
                message.clone_into(&mut entry.message);
                !known
            }
            None => {
                let entry = Entry { changes: changes.clone(), message: message.to_owned(), pause, due };
                self.services.insert(service.clone(), entry);
                true
            }
        }
    }

    /// A service has got everything.
    pub(crate) fn done(&mut self, service: &ServiceName) {
        self.services.remove(service);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn written(path: &str) -> Changes {
        Changes { written: [PathBuf::from(path)].into(), ..Changes::default() }
    }

    #[test]
    fn what_failed_comes_again_with_what_changed_since_and_later_each_time() {
        let web = ServiceName::from("web");
        let (mut failed, now) = (Failed::default(), Instant::now());
        assert!(failed.due().is_none());
        assert!(failed.keep(&web, &written("/a"), "no space", now));
        assert_eq!(failed.due(), Some(now + FIRST));
        let gone = Changes { removed: [PathBuf::from("/a")].into(), ..written("/b") };
        let (service, changes) = failed.with(&gone).next().expect("one");
        assert_eq!((service, &changes), (&web, &gone));
        assert!(!failed.keep(&web, &written("/b"), "no space", now));
        assert_eq!(failed.due(), Some(now + FIRST * 2));
        assert_eq!(failed.with(&Changes::default()).next().expect("one").1.written.len(), 2);
        assert!(failed.keep(&web, &written("/b"), "another cause", now));
        for _ in 0..20 {
            failed.keep(&web, &written("/b"), "another cause", now);
        }
        assert_eq!(failed.due(), Some(now + LONGEST));
        failed.done(&web);
        assert!(failed.due().is_none());
    }
}
