//! Connecting this terminal to a process in a container: `exec`, `run`, `attach`.

use std::io::{self, Write};

use compose_planner::observed::Container;
use compose_runtime::Runtime;
use compose_runtime::port::{Channel, Session, Writer};
use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};

use crate::context::Scene;
use crate::signals::Interrupts;
use crate::terminal::{self, RawMode};

/// How the streams are to be connected.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wiring<'a> {
    /// The process has a terminal.
    pub(crate) tty: bool,
    /// Pass standard input on.
    pub(crate) stdin: bool,
    /// The container, for changes of the terminal's size.
    pub(crate) container: &'a str,
    /// The exec, where it is one.
    pub(crate) exec: Option<&'a str>,
}

/// How the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The process's output has ended.
    Output,
    /// A signal came; the process may still run.
    Signal(&'static str),
}

/// Passes bytes in both directions until the output ends or a signal comes.
pub(crate) async fn connect(
    runtime: &dyn Runtime,
    session: &mut Session,
    wiring: Wiring<'_>,
    interrupts: &mut Interrupts,
) -> anyhow::Result<Ended> {
    // Given back when this function is left, on whatever path.
    let _raw = if wiring.tty && wiring.stdin { RawMode::enable()? } else { None };
    let mut resized = signal(SignalKind::window_change())?;
    if wiring.tty {
        resize(runtime, wiring).await;
    }
    let feeding = async {
        if let Some(input) = session.input.take()
            && wiring.stdin
        {
            feed(input).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::pin!(feeding);
    let mut stdout = io::stdout();
    let mut stderr = io::stderr();
    loop {
        tokio::select! {
            chunk = session.output.next() => match chunk {
                Some(Ok(chunk)) => match chunk.channel {
                    Channel::Stdout => {
                        stdout.write_all(&chunk.bytes).and_then(|()| stdout.flush()).map_err(crate::footer::unwritable)?;
                    }
                    Channel::Stderr => {
                        let _ = stderr.write_all(&chunk.bytes);
                        let _ = stderr.flush();
                    }
                },
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(Ended::Output),
            },
            () = &mut feeding => {}
            _ = resized.recv(), if wiring.tty => resize(runtime, wiring).await,
            name = interrupts.next() => return Ok(Ended::Signal(name)),
        }
    }
}

async fn resize(runtime: &dyn Runtime, wiring: Wiring<'_>) {
    if let Some((columns, rows)) = terminal::session_size() {
        // A process that has ended already has no size.
        let _ = runtime.streams().resize(wiring.container, wiring.exec, columns, rows).await;
    }
}

/// Passes standard input on until its end, which is passed on too.
async fn feed(mut input: Writer) {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; 32 * 1024];
    loop {
        match stdin.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                let sent = input.write_all(&buffer[..length]).await;
                if sent.is_err() || input.flush().await.is_err() {
                    return;
                }
            }
        }
    }
    let _ = input.shutdown().await;
}

/// The running container that a command on one service means: the replica that is asked for, else
/// the lowest one; a one-off only where no replica runs.
pub(crate) fn running<'a>(scene: &'a Scene, service: &str, index: i64) -> anyhow::Result<&'a Container> {
    picked(scene, service, index, true)
}

/// As [`running`], whether it runs or not.
pub(crate) fn any<'a>(scene: &'a Scene, service: &str, index: i64) -> anyhow::Result<&'a Container> {
    picked(scene, service, index, false)
}

fn picked<'a>(scene: &'a Scene, service: &str, index: i64, running: bool) -> anyhow::Result<&'a Container> {
    let found = pick(&scene.observed.containers, service, index, running);
    found.map_err(|error| scene.with_unknown(error, service))
}

fn pick<'a>(containers: &'a [Container], service: &str, index: i64, running: bool) -> anyhow::Result<&'a Container> {
    let mut own: Vec<&Container> = containers
        .iter()
        .filter(|container| container.service.as_str() == service && container.hook.is_none())
        .filter(|container| !running || container.state.is_up())
        .collect();
    own.sort_by(|a, b| (a.one_off, a.number, &a.name).cmp(&(b.one_off, b.number, &b.name)));
    if index > 0 {
        let wanted = usize::try_from(index).ok();
        return own
            .into_iter()
            .find(|container| !container.one_off && container.number == wanted)
            .ok_or_else(|| anyhow::anyhow!("service {service:?} is not running container #{index}"));
    }
    own.into_iter().next().ok_or_else(|| anyhow::anyhow!("service {service:?} is not running"))
}

#[cfg(test)]
mod tests {
    use compose_planner::observed::State;

    use super::*;

    fn container(name: &str, number: Option<usize>, state: State) -> Container {
        Container {
            name: name.into(),
            service: "web".into(),
            number,
            one_off: number.is_none(),
            state,
            ..Container::default()
        }
    }

    #[test]
    fn a_replica_is_preferred_to_a_one_off_and_the_lowest_to_others() {
        let all = [
            container("run", None, State::Running),
            container("2", Some(2), State::Running),
            container("1", Some(1), State::Exited),
        ];
        let name = |index| match pick(&all, "web", index, true) {
            Ok(container) => container.name.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(name(0), "2");
        assert_eq!(name(2), "2");
        assert_eq!(name(1), "service \"web\" is not running container #1");
        assert_eq!(pick(&all[..1], "web", 0, true).unwrap().name.as_str(), "run");
        assert_eq!(pick(&all[2..], "web", 0, true).unwrap_err().to_string(), "service \"web\" is not running");
        assert_eq!(pick(&all, "web", 0, false).unwrap().name.as_str(), "1");
    }
}
