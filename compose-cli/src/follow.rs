//! Follows the output of many containers at once, those that start later too, and tells who has
//! ended. Serves attached `up` and `logs --follow`.
//!
//! One task owns the view and both output streams; a reader for each run of a container only
//! sends what it reads. A container's exit is told after its last line.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use compose_model::names::{ContainerId, ProjectName, ServiceName};
use compose_planner::labels;
use compose_planner::observed::{Container, State};
use compose_runtime::Runtime;
use compose_runtime::port::{AttachOptions, Channel, EngineEvent, EventQuery, Items, LogChunk, LogOptions};
use futures_util::StreamExt as _;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

use crate::log_view::{
    LineSplitter, LogStyle, LogView, LogWriter, Moment, SourceId, padded, short_name, without_stamp,
};

/// What may wait between a reader and the view.
const QUEUE: usize = 64;
/// How long the last lines and exits of stopped containers are waited for.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(2);
/// How long before the start that the engine tells of a first line may be stamped, in nanoseconds.
const FIRST_WORDS: i64 = 700_000_000;
/// How often containers that say nothing are looked at.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);
/// Pieces of output that are passed on together at most.
const AT_ONCE: usize = 512;
/// Bytes that are written at once.
const BATCH: usize = 64 * 1024;

/// Whose output is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audience {
    /// The project.
    pub(crate) project: ProjectName,
    /// Services whose end counts; `None` for all.
    pub(crate) tracked: Option<Vec<ServiceName>>,
    /// Services whose output is shown; `None` for all.
    pub(crate) shown: Option<Vec<ServiceName>>,
    /// Only this replica.
    pub(crate) number: Option<usize>,
}

impl Audience {
    fn tracks(&self, service: &ServiceName) -> bool {
        self.tracked.as_ref().is_none_or(|tracked| tracked.contains(service))
    }

    fn shows(&self, service: &ServiceName, number: Option<usize>) -> bool {
        self.shown.as_ref().is_none_or(|shown| shown.contains(service))
            && (self.number.is_none() || self.number == number)
    }
}

/// What the follower tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A run of a container has ended.
    Exited {
        /// The service.
        service: ServiceName,
        /// The container.
        container: ContainerId,
        /// Its exit code.
        code: i64,
    },
    /// Nothing that is followed runs any more.
    AllEnded,
}

enum Order {
    /// Names that are about to be attached to; opens the view.
    Attach(Vec<String>),
    /// A line of a hook that runs in the container of this name.
    Say(String, String),
    /// These are about to be removed: nothing of them counts any more.
    Forget(Vec<ContainerId>),
    /// Nothing further will be started: the end of all is the end. So many containers were
    /// started, whose events may still be on their way.
    Seal(usize),
    /// End when everything has been written.
    Finish,
    /// End with what has been read.
    FinishNow,
}

/// A running follower.
pub(crate) struct Follower {
    /// What it tells.
    pub(crate) notices: UnboundedReceiver<Notice>,
    orders: UnboundedSender<Order>,
    task: JoinHandle<io::Result<()>>,
}

impl Follower {
    /// Begins to follow. The engine's events are subscribed to before this returns.
    ///
    /// `running` are containers to be followed at once, with the options for their logs.
    pub(crate) async fn start(
        runtime: Arc<dyn Runtime>,
        audience: Audience,
        style: LogStyle,
        running: Vec<(Container, LogOptions)>,
    ) -> anyhow::Result<Self> {
        let query = EventQuery {
            labels: vec![(labels::PROJECT.to_owned(), Some(audience.project.as_str().to_owned()))],
            ..EventQuery::default()
        };
        let events = runtime.streams().events(&query).await?;
        let (orders, order_receiver) = mpsc::unbounded_channel();
        let (notice_sender, notices) = mpsc::unbounded_channel();
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut state = Following {
            runtime,
            audience,
            view: LogView::new(style),
            writer: LogWriter::default(),
            followed: BTreeMap::new(),
            sender,
            notices: notice_sender,
            sealed: false,
            open: false,
            finishing: false,
            told_end: false,
            forgotten: BTreeSet::new(),
            fresh: BTreeSet::new(),
            started: BTreeSet::new(),
            expected: 0,
        };
        for (container, options) in running {
            state.follow_existing(&container, options);
        }
        let task = tokio::spawn(state.work(events, receiver, order_receiver));
        Ok(Self { notices, orders, task })
    }

    /// Prints `Attaching to ...` and lets output through.
    pub(crate) fn attach(&self, names: Vec<String>) {
        let _ = self.orders.send(Order::Attach(names));
    }

    /// Writes a line of a hook among those of the containers.
    pub(crate) fn say(&self, name: &str, line: &str) {
        let _ = self.orders.send(Order::Say(name.to_owned(), line.to_owned()));
    }

    /// Leaves out containers that are about to be replaced or removed.
    pub(crate) fn forget(&self, containers: Vec<ContainerId>) {
        let _ = self.orders.send(Order::Forget(containers));
    }

    /// Says that nothing further will be started, and how many containers were.
    pub(crate) fn seal(&self, started: usize) {
        let _ = self.orders.send(Order::Seal(started));
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        let _ = self.orders.send(Order::Finish);
        Ok(self.task.await??)
    }

    /// As [`Self::finish`]; the ends that were told meanwhile are added to `ended`.
    pub(crate) async fn finish_into(mut self, ended: &mut Vec<(ServiceName, i64)>) -> anyhow::Result<()> {
        let _ = self.orders.send(Order::Finish);
        let result = self.task.await?;
        self.notices.close();
        while let Some(notice) = self.notices.recv().await {
            if let Notice::Exited { service, code, .. } = notice {
                ended.push((service, code));
            }
        }
        Ok(result?)
    }

    /// Writes what has been read so far and ends, while containers go on.
    pub(crate) async fn finish_soon(self) {
        let _ = self.orders.send(Order::FinishNow);
        let _ = self.task.await;
    }
}

enum Message {
    Chunks(ContainerId, Vec<LogChunk>),
    ReaderEnded(ContainerId),
    Settled(ContainerId, bool),
    /// It has ended with this code, and neither its log nor an event said so.
    Silent(ContainerId, i64),
    /// What comes of it has no times.
    Unstamped(ContainerId),
}

struct Followed {
    /// `None` where its output is not shown.
    source: Option<SourceId>,
    service: ServiceName,
    splitter: LineSplitter,
    reading: bool,
    /// It runs, or will again.
    alive: bool,
    /// Nothing was read since the last look.
    quiet: bool,
    /// The exit that is told when its reader has ended.
    exit: Option<i64>,
    /// When its last run ended, in nanoseconds since 1970.
    ended_at: Option<i64>,
}

struct Following {
    runtime: Arc<dyn Runtime>,
    audience: Audience,
    view: LogView,
    writer: LogWriter,
    followed: BTreeMap<ContainerId, Followed>,
    sender: Sender<Message>,
    notices: UnboundedSender<Notice>,
    sealed: bool,
    open: bool,
    finishing: bool,
    told_end: bool,
    forgotten: BTreeSet<ContainerId>,
    /// Containers that were seen to be made: all that they ever wrote is new.
    fresh: BTreeSet<ContainerId>,
    /// Containers that were seen to start.
    started: BTreeSet<ContainerId>,
    /// How many have to be, before the end of all is the end.
    expected: usize,
}

impl Following {
    async fn work(
        mut self,
        mut events: Items<EngineEvent>,
        mut receiver: Receiver<Message>,
        mut orders: UnboundedReceiver<Order>,
    ) -> io::Result<()> {
        let mut events_ended = false;
        let mut orders_ended = false;
        let mut deadline: Option<tokio::time::Instant> = None;
        let mut patience: Option<tokio::time::Instant> = None;
        let mut look = tokio::time::interval(LOOK_AGAIN);
        loop {
            let late = at(deadline);
            let missing = at(patience);
            // Output is held back until the view is open, so that it does not run into a live
            // display; the bounded queue then slows the readers down.
            tokio::select! {
                biased;
                order = orders.recv(), if !orders_ended => match order {
                    Some(Order::Attach(names)) => self.attach(&names)?,
                    Some(Order::Say(name, line)) => {
                        self.view.hook_line(&name, &line, self.writer.buffer(Channel::Stdout, false));
                        self.writer.flush()?;
                    }
                    Some(Order::Forget(ids)) => {
                        for id in ids {
                            self.followed.remove(&id);
                            self.forgotten.insert(id);
                        }
                    }
                    Some(Order::Seal(expected)) => {
                        self.sealed = true;
                        self.expected = expected;
                        patience = Some(tokio::time::Instant::now() + LAST_WORDS);
                        self.tell_end();
                    }
                    Some(Order::Finish) => {
                        self.finishing = true;
                        deadline = Some(tokio::time::Instant::now() + LAST_WORDS);
                    }
                    Some(Order::FinishNow) => {
                        while let Ok(message) = receiver.try_recv() {
                            self.message(message)?;
                        }
                        return self.writer.flush();
                    }
                    None => orders_ended = true,
                },
                event = events.next(), if !events_ended => match event {
                    Some(Ok(event)) => self.event(&event)?,
                    // The engine has gone: the readers end by themselves.
                    Some(Err(_)) | None => events_ended = true,
                },
                () = late => return self.writer.flush(),
                _ = look.tick() => self.look_again(),
                // An event that never comes must not keep the command for ever.
                () = missing => {
                    patience = None;
                    self.expected = 0;
                    self.tell_end();
                }
                Some(message) = receiver.recv(), if self.open || self.finishing => {
                    self.message(message)?;
                    while let Ok(message) = receiver.try_recv() {
                        self.message(message)?;
                        if self.writer.pending() > BATCH {
                            self.writer.flush()?;
                        }
                    }
                    self.writer.flush()?;
                }
            }
            if events_ended {
                self.expected = 0;
                // Without events nobody tells of ends; what is no longer read has ended.
                for followed in self.followed.values_mut() {
                    followed.alive = followed.reading;
                }
                self.tell_end();
            }
            if self.finishing && self.is_over() {
                return self.writer.flush();
            }
        }
    }

    /// Engine 20.10 may leave a log open, or an event out, when a container ends just then. Whoever
    /// has been quiet for a while is looked at: one list call for all.
    fn look_again(&mut self) {
        let mut silent: BTreeSet<ContainerId> = BTreeSet::new();
        for (id, followed) in &mut self.followed {
            if followed.alive && std::mem::replace(&mut followed.quiet, true) {
                silent.insert(id.clone());
            }
        }
        if silent.is_empty() {
            return;
        }
        let (runtime, sender) = (Arc::clone(&self.runtime), self.sender.clone());
        let label = (labels::PROJECT.to_owned(), Some(self.audience.project.to_string()));
        tokio::spawn(async move {
            for container in runtime.list_containers(&[label]).await.unwrap_or_default() {
                if silent.contains(&container.id) && matches!(container.state, State::Exited | State::Dead) {
                    let code = container.exit_code.unwrap_or_default();
                    let _ = sender.send(Message::Silent(container.id, code)).await;
                }
            }
        });
    }

    fn attach(&mut self, names: &[String]) -> io::Result<()> {
        for name in names {
            self.view.add(name);
        }
        self.open = true;
        if !names.is_empty() {
            let line = format!("Attaching to {}\n", names.join(", "));
            self.writer.buffer(Channel::Stdout, false).extend_from_slice(line.as_bytes());
        }
        self.writer.flush()
    }

    fn follow_existing(&mut self, container: &Container, options: LogOptions) {
        let shown = self.audience.shows(&container.service, container.number);
        if !shown && !self.audience.tracks(&container.service) {
            return;
        }
        let name = short_name(
            container.name.as_str(),
            self.audience.project.as_str(),
            container.service.as_str(),
            container.number,
        );
        let alive = container.state.is_up();
        self.enter(container.id.clone(), &name, container.service.clone(), alive, shown);
        if shown {
            self.read(&container.id, options);
        }
    }

    fn enter(&mut self, id: ContainerId, name: &str, service: ServiceName, alive: bool, shown: bool) {
        let style = self.view.style();
        let source = shown.then(|| self.view.add(name));
        let followed = self.followed.entry(id).or_insert_with(|| Followed {
            source,
            service,
            splitter: LineSplitter::new(true, style.timestamps),
            reading: false,
            alive,
            quiet: false,
            exit: None,
            ended_at: None,
        });
        followed.alive = alive;
    }

    fn read(&mut self, id: &ContainerId, options: LogOptions) {
        let Some(followed) = self.followed.get_mut(id) else { return };
        followed.reading = true;
        tokio::spawn(reader(Arc::clone(&self.runtime), id.clone(), options, self.sender.clone()));
    }

    fn event(&mut self, event: &EngineEvent) -> io::Result<()> {
        let attribute = |name: &str| event.attributes.get(name).map(String::as_str).unwrap_or_default();
        let service = ServiceName::from(attribute(labels::SERVICE));
        let number = attribute(labels::CONTAINER_NUMBER).parse().ok();
        let belongs = attribute(labels::ONEOFF) != "True" && attribute(labels::HOOK).is_empty();
        let shown = self.audience.shows(&service, number);
        if !belongs || self.forgotten.contains(&event.container) || !(shown || self.audience.tracks(&service)) {
            return Ok(());
        }
        match event.action.as_str() {
            "create" => {
                self.fresh.insert(event.container.clone());
            }
            "start" => {
                self.started.insert(event.container.clone());
                let name = short_name(event.name.as_str(), self.audience.project.as_str(), service.as_str(), number);
                let known = self.followed.get(&event.container).map(|known| (known.reading, known.ended_at));
                self.enter(event.container.clone(), &name, service, true, shown);
                self.told_end = false;
                if !shown {
                    return Ok(());
                }
                let ended = match known {
                    Some((true, _)) => return Ok(()),
                    Some((false, ended)) => ended,
                    None => None,
                };
                let since = ended.map(|ended| between(ended, event.time)).unwrap_or_default();
                let options = LogOptions { follow: true, since, ..LogOptions::default() };
                if ended.is_none() && self.fresh.contains(&event.container) {
                    self.read(&event.container, options);
                } else if ended.is_none() {
                    // It may have run before this program began; that output is old.
                    let Some(followed) = self.followed.get_mut(&event.container) else { return Ok(()) };
                    followed.reading = true;
                    let (runtime, id, sender) =
                        (Arc::clone(&self.runtime), event.container.clone(), self.sender.clone());
                    tokio::spawn(async move {
                        let found = runtime.containers().inspect(id.as_str()).await;
                        let nanoseconds = |text: &str| -> Option<i64> {
                            let time = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
                            i64::try_from(time).ok().filter(|time| *time > 0)
                        };
                        let since = found
                            .ok()
                            .and_then(|found| Some((nanoseconds(&found.finished_at)?, nanoseconds(&found.started_at)?)))
                            // A run that has ended again hides when the one before it did. Engine 20.10
                            // may note the end of a short run before its start.
                            .map(|(ended, started)| {
                                let before = started - FIRST_WORDS;
                                (if ended < before { ended } else { before }, started)
                            })
                            .map(|(ended, started)| between(ended, started))
                            .unwrap_or_default();
                        reader(runtime, id, LogOptions { since, ..options }, sender).await;
                    });
                } else {
                    self.read(&event.container, options);
                }
            }
            "die" => {
                let code = attribute("exitCode").parse().unwrap_or(0);
                let Some(followed) = self.followed.get_mut(&event.container) else { return Ok(()) };
                followed.exit = Some(code);
                followed.ended_at = Some(event.time);
                if !followed.reading {
                    self.tell_exit(&event.container)?;
                }
            }
            "destroy" => {
                if let Some(followed) = self.followed.get_mut(&event.container) {
                    followed.alive = false;
                }
                self.tell_end();
            }
            _ => {}
        }
        Ok(())
    }

    fn message(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::Chunks(id, chunks) => {
                let Some(followed) = self.followed.get_mut(&id) else { return Ok(()) };
                followed.quiet = false;
                let Some(source) = followed.source else { return Ok(()) };
                let (view, writer) = (&self.view, &mut self.writer);
                for chunk in &chunks {
                    followed.splitter.push(chunk, |channel, line| {
                        view.line(source, line, writer.buffer(channel, view.style().apart));
                    });
                }
            }
            Message::ReaderEnded(id) => {
                let Some(followed) = self.followed.get_mut(&id) else { return Ok(()) };
                followed.reading = false;
                let Some(source) = followed.source else { return Ok(()) };
                let (view, writer) = (&self.view, &mut self.writer);
                followed.splitter.finish(|channel, line| {
                    view.line(source, line, writer.buffer(channel, view.style().apart));
                });
                if followed.exit.is_some() {
                    self.tell_exit(&id)?;
                } else {
                    self.tell_end();
                }
            }
            Message::Silent(id, code) => {
                let Some(followed) = self.followed.get_mut(&id) else { return Ok(()) };
                if followed.alive && followed.quiet {
                    followed.exit.get_or_insert(code);
                    return if followed.source.is_some() {
                        self.message(Message::ReaderEnded(id))
                    } else {
                        self.tell_exit(&id)
                    };
                }
            }
            Message::Unstamped(id) => {
                if let Some(followed) = self.followed.get_mut(&id) {
                    followed.splitter = LineSplitter::new(false, false);
                }
            }
            Message::Settled(id, alive) => {
                if let Some(followed) = self.followed.get_mut(&id)
                    && !followed.reading
                {
                    followed.alive = alive;
                }
                self.tell_end();
            }
        }
        Ok(())
    }

    /// Tells of an exit, then looks whether the engine starts the container again.
    fn tell_exit(&mut self, id: &ContainerId) -> io::Result<()> {
        let Some(followed) = self.followed.get_mut(id) else { return Ok(()) };
        let Some(code) = followed.exit.take() else { return Ok(()) };
        if let Some(source) = followed.source {
            self.view.exit_line(source, code, self.writer.buffer(Channel::Stdout, false));
        }
        if self.open || self.finishing {
            self.writer.flush()?;
        }
        let service = followed.service.clone();
        let _ = self.notices.send(Notice::Exited { service, container: id.clone(), code });
        let (runtime, id, sender) = (Arc::clone(&self.runtime), id.clone(), self.sender.clone());
        tokio::spawn(async move {
            let found = runtime.containers().inspect(id.as_str()).await;
            let alive =
                found.is_ok_and(|found| matches!(found.state, State::Restarting | State::Running | State::Paused));
            let _ = sender.send(Message::Settled(id, alive)).await;
        });
        Ok(())
    }

    /// Whether nothing runs and everything is told.
    fn is_over(&self) -> bool {
        self.followed.values().all(|followed| !followed.alive && !followed.reading && followed.exit.is_none())
    }

    /// Tells that all have ended, once, when nothing further is to be started.
    fn tell_end(&mut self) {
        let over =
            self.followed.values().all(|followed| !followed.alive && !followed.reading && followed.exit.is_none());
        if self.sealed && over && self.started.len() >= self.expected && !self.told_end {
            self.told_end = true;
            let _ = self.notices.send(Notice::AllEnded);
        }
    }
}

async fn at(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// A moment between the end of one run and the start of the next, as engines read it: what was
/// written before belongs to the old run. Last lines may be stamped a little after the end, first
/// ones a little before the start.
fn between(ended: i64, started: i64) -> String {
    const MOST: i64 = 1_000_000_000;
    let moment = ended + ((started - ended) / 2).clamp(0, MOST);
    format!("{}.{:09}", moment.div_euclid(1_000_000_000), moment.rem_euclid(1_000_000_000))
}

/// Reads one run of a container, with the engine's times.
async fn reader(runtime: Arc<dyn Runtime>, id: ContainerId, options: LogOptions, sender: Sender<Message>) {
    let options = LogOptions { timestamps: true, ..options };
    let Ok(items) = runtime.streams().logs(id.as_str(), &options).await else {
        return attached(runtime.as_ref(), id, &sender).await;
    };
    let mut last: Vec<u8> = Vec::new();
    // What is there already goes on together.
    let mut items = items.ready_chunks(AT_ONCE);
    while let Some(read) = items.next().await {
        let count = read.len();
        let chunks: Vec<LogChunk> = read.into_iter().map_while(Result::ok).collect();
        let broken = chunks.len() < count;
        if let Some(stamp) = chunks.iter().rev().find_map(last_stamp) {
            last = stamp;
        }
        if sender.send(Message::Chunks(id.clone(), chunks)).await.is_err() {
            return;
        }
        if broken {
            break;
        }
    }
    // Engine 20.10 may end the stream before the last lines of a container that has ended.
    if !last.is_empty() || options.tail.is_none() {
        let since = if last.is_empty() { options.since.clone() } else { String::from_utf8_lossy(&last).into_owned() };
        let rest = LogOptions { follow: false, tail: None, since, ..options };
        if let Ok(mut items) = runtime.streams().logs(id.as_str(), &rest).await {
            let seen = padded(&last);
            while let Some(Ok(chunk)) = items.next().await {
                let new = newer(&chunk, &last, &seen);
                if !new.bytes.is_empty() && sender.send(Message::Chunks(id.clone(), vec![new])).await.is_err() {
                    return;
                }
            }
        }
    }
    let _ = sender.send(Message::ReaderEnded(id)).await;
}

/// The lines of a chunk from the first one on that is later than what was seen.
fn newer(chunk: &LogChunk, last: &[u8], seen: &Moment) -> LogChunk {
    let mut start = 0;
    for line in chunk.bytes.split_inclusive(|byte| *byte == b'\n') {
        let (stamp, _) = without_stamp(line);
        if !stamp.is_empty() && (last.is_empty() || padded(stamp) > *seen) {
            break;
        }
        start += line.len();
    }
    LogChunk { channel: chunk.channel, bytes: chunk.bytes.slice(start.min(chunk.bytes.len())..) }
}

/// The time of the last message in a chunk.
fn last_stamp(chunk: &LogChunk) -> Option<Vec<u8>> {
    let bytes = chunk.bytes.strip_suffix(b"\n").unwrap_or(&chunk.bytes);
    let start = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
    let (stamp, _) = without_stamp(bytes.get(start..)?);
    let (stamp, _) = if stamp.is_empty() { without_stamp(bytes) } else { (stamp, &[][..]) };
    (!stamp.is_empty()).then(|| stamp.to_vec())
}

/// A container whose logging driver cannot be read: what comes from now on can still be had.
async fn attached(runtime: &dyn Runtime, id: ContainerId, sender: &Sender<Message>) {
    let _ = sender.send(Message::Unstamped(id.clone())).await;
    let tty = runtime.containers().inspect(id.as_str()).await.is_ok_and(|found| found.detail.tty);
    let options = AttachOptions { output: true, tty, ..AttachOptions::default() };
    if let Ok(mut session) = runtime.streams().attach(id.as_str(), &options).await {
        while let Some(Ok(chunk)) = session.output.next().await {
            if sender.send(Message::Chunks(id.clone(), vec![chunk])).await.is_err() {
                return;
            }
        }
    }
    let _ = sender.send(Message::ReaderEnded(id)).await;
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_last_time_of_a_chunk_is_that_of_its_last_line() {
        let chunk =
            |text: &'static str| LogChunk { channel: Channel::Stdout, bytes: Bytes::from_static(text.as_bytes()) };
        let stamp = |text| last_stamp(&chunk(text)).map(|stamp| String::from_utf8_lossy(&stamp).into_owned());
        assert_eq!(stamp("2026-01-02T12:00:00.5Z a\n").as_deref(), Some("2026-01-02T12:00:00.5Z"));
        let two = "2026-01-02T12:00:00.5Z a\n2026-01-02T12:00:01Z b";
        assert_eq!(stamp(two).as_deref(), Some("2026-01-02T12:00:01Z"));
        assert_eq!(stamp("no time"), None);
    }

    #[test]
    fn only_later_lines_are_new() {
        let text = "2026-01-02T12:00:00.5Z a\n2026-01-02T12:00:01Z b\n";
        let chunk = LogChunk { channel: Channel::Stdout, bytes: Bytes::from_static(text.as_bytes()) };
        let new = |last: &[u8]| String::from_utf8_lossy(&newer(&chunk, last, &padded(last)).bytes).into_owned();
        assert_eq!(new(b"2026-01-02T12:00:00.5Z"), "2026-01-02T12:00:01Z b\n");
        assert_eq!(new(b"2026-01-02T12:00:01Z"), "");
        assert_eq!(new(b""), text);
    }

    #[test]
    fn the_moment_between_two_runs_lies_close_to_the_first() {
        assert_eq!(between(1_000_000_000, 1_100_000_000), "1.050000000");
        assert_eq!(between(1_000_000_000, 9_000_000_000_000), "2.000000000");
    }
}
