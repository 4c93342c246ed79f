//! `logs`: show the output of containers.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use compose_planner::observed::Container;
use compose_runtime::port::{Channel, Items, LogChunk, LogOptions};
use futures_util::StreamExt as _;

use crate::context::{Context, Scene, Wanted, check_services, names};
use crate::follow::{Audience, Follower, Notice};
use crate::invocation::ExitStatus;
use crate::log_view::{
    LineSplitter, LogStyle, LogView, LogWriter, Moment, SourceId, padded, short_name, without_stamp,
};
use crate::signals::Interrupts;

/// Arguments.
#[derive(Args, Clone, Debug, Default)]
#[command(
    after_help = "Examples:\n  compose logs                    the output of every service\n  compose logs -f web             follow one service\n  compose logs -f --tail 20       the last 20 lines of each, and what comes"
)]
pub(crate) struct Arguments {
    /// Services; all of the project when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Go on with what comes
    #[arg(short = 'f', long)]
    pub(crate) follow: bool,
    /// Number of the replica, from 1
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true, value_parser = crate::args::integer)]
    pub(crate) index: i64,
    /// Output without colour
    #[arg(long)]
    pub(crate) no_color: bool,
    /// Output without the container's name before each line
    #[arg(long)]
    pub(crate) no_log_prefix: bool,
    /// Only from this time on: a timestamp or a duration such as 10m
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only before this time: a timestamp or a duration such as 10m
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only the last lines of each container [default: all]
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) tail: Option<String>,
    /// Show the time of each line
    #[arg(short = 't', long)]
    pub(crate) timestamps: bool,
}

/// Shows logs.
pub(crate) async fn run(context: &Context<'_>, arguments: &Arguments) -> anyhow::Result<ExitStatus> {
    if arguments.index > 0 && arguments.services.len() != 1 {
        bail!("--index requires one service to be selected");
    }
    let scene = context.scene(&arguments.services, Wanted::CONTAINERS.forgiving()).await?;
    if scene.from_files {
        check_services(&scene.project, &arguments.services)?;
    }
    let number = usize::try_from(arguments.index).ok().filter(|number| *number > 0);
    let chosen = choose(&scene, arguments, number);
    if let (Some(number), true, Some(service)) = (number, chosen.is_empty(), arguments.services.first()) {
        bail!("service {service:?} is not running container #{number}");
    }
    let style = LogStyle {
        prefix: !arguments.no_log_prefix,
        colour: context.output.colour_on_stdout() && !arguments.no_color,
        timestamps: arguments.timestamps,
        control: !context.output.no_control_characters(),
        apart: false,
    };
    let time = |text: &Option<String>| match text.as_deref() {
        None | Some("") => Ok(String::new()),
        Some(text) => crate::time_format::engine_time(text)
            .ok_or_else(|| anyhow::anyhow!("invalid time {text:?}: use a timestamp, a date or a duration such as 10m")),
    };
    let options = LogOptions {
        follow: arguments.follow,
        // What is no number means "all", as in the reference.
        tail: arguments.tail.as_deref().and_then(|tail| tail.parse().ok()),
        timestamps: arguments.timestamps,
        since: time(&arguments.since)?,
        until: time(&arguments.until)?,
    };
    if arguments.follow {
        return follow(&scene, arguments, style, &options, &chosen, number).await;
    }
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        result = print(&scene, style, &options, &chosen) => result.map(|()| ExitStatus::SUCCESS),
        _ = interrupts.next() => Ok(ExitStatus::INTERRUPTED),
    }
}

fn choose<'a>(scene: &'a Scene, arguments: &Arguments, number: Option<usize>) -> Vec<&'a Container> {
    let wanted = |container: &&Container| {
        container.project.as_ref() == Some(&scene.project.name)
            && !container.one_off
            && container.hook.is_none()
            && (number.is_none() || container.number == number)
            && if arguments.services.is_empty() {
                // Without names: the services of the file, as the reference has it; orphans are not shown.
                !scene.from_files || scene.project.services.contains_key(&container.service)
            } else {
                arguments.services.iter().any(|service| service == container.service.as_str())
            }
    };
    let mut chosen: Vec<&Container> = scene.observed.containers.iter().filter(wanted).collect();
    chosen.sort_by(|a, b| (&a.service, a.number, &a.name).cmp(&(&b.service, b.number, &b.name)));
    chosen
}

fn log_name(scene: &Scene, container: &Container) -> String {
    short_name(container.name.as_str(), scene.project.name.as_str(), container.service.as_str(), container.number)
}

async fn follow(
    scene: &Scene,
    arguments: &Arguments,
    style: LogStyle,
    options: &LogOptions,
    chosen: &[&Container],
    number: Option<usize>,
) -> anyhow::Result<ExitStatus> {
    let mut interrupts = Interrupts::listen()?;
    let services = if arguments.services.is_empty() && scene.from_files {
        Some(scene.project.services.keys().cloned().collect())
    } else if arguments.services.is_empty() {
        None
    } else {
        Some(names(&arguments.services))
    };
    let audience = Audience { project: scene.project.name.clone(), tracked: services.clone(), shown: services, number };
    let running = chosen.iter().map(|container| ((*container).clone(), options.clone())).collect();
    let mut follower = Follower::start(Arc::clone(&scene.runtime), audience, style, running).await?;
    follower.attach(Vec::new());
    follower.seal(0);
    loop {
        tokio::select! {
            notice = follower.notices.recv() => if matches!(notice, Some(Notice::AllEnded) | None) {
                follower.finish().await?;
                return Ok(ExitStatus::SUCCESS);
            },
            _ = interrupts.next() => {
                follower.finish_soon().await;
                return Ok(ExitStatus::INTERRUPTED);
            }
        }
    }
}

/// Prints finished output, merged by time where there are several containers.
async fn print(scene: &Scene, style: LogStyle, options: &LogOptions, chosen: &[&Container]) -> anyhow::Result<()> {
    let mut view = LogView::new(style);
    let sources: Vec<SourceId> = chosen.iter().map(|container| view.add(&log_name(scene, container))).collect();
    let mut writer = LogWriter::default();
    let merged = chosen.len() > 1;
    if let ([container], [source]) = (chosen, sources.as_slice()) {
        // Nothing to merge with: bytes go through as they come.
        let mut items = scene.runtime.streams().logs(container.id.as_str(), options).await?;
        let mut splitter = LineSplitter::new(options.timestamps, options.timestamps);
        while let Some(chunk) = items.next().await {
            splitter.push(&chunk?, |channel, line| view.line(*source, line, writer.buffer(channel, false)));
            if writer.pending() > 64 * 1024 {
                writer.flush()?;
            }
        }
        splitter.finish(|channel, line| view.line(*source, line, writer.buffer(channel, false)));
        return Ok(writer.flush()?);
    }
    let options = LogOptions { timestamps: options.timestamps || merged, ..options.clone() };
    let mut streams = Vec::new();
    for (container, source) in chosen.iter().zip(&sources) {
        match scene.runtime.streams().logs(container.id.as_str(), &options).await {
            Ok(items) => streams.push((items, *source)),
            // It vanished meanwhile, or its logging driver cannot be read; the others still count.
            Err(error) if chosen.len() > 1 || error.is_not_found() => {
                writer.flush()?;
                eprint_note(scene, container, &error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let ahead = (AHEAD / streams.len().max(1)).max(2);
    let mut streams: Vec<Merging> = streams
        .into_iter()
        .map(|(items, source)| Merging::new(read_ahead(items, ahead), source, options.timestamps))
        .collect();
    let mut heads: BTreeSet<(Moment, usize)> = BTreeSet::new();
    for (index, stream) in streams.iter_mut().enumerate() {
        if let Some(moment) = stream.advance().await? {
            heads.insert((moment, index));
        }
    }
    // The line with the earliest time goes first; lines of one container keep their order.
    while let Some((_, index)) = heads.pop_first() {
        let Some(stream) = streams.get_mut(index) else { continue };
        let first = heads.first().map(|(moment, _)| *moment);
        let source = stream.source;
        loop {
            stream.take(style.timestamps, |channel, line| {
                view.line(source, line, writer.buffer(channel, false));
            });
            if writer.pending() > 64 * 1024 {
                writer.flush()?;
            }
            let next = match stream.next_moment() {
                Some(next) => Some(next),
                None => stream.advance().await?,
            };
            let Some(next) = next else { break };
            if first.is_some_and(|first| first < next) {
                heads.insert((next, index));
                break;
            }
        }
    }
    writer.flush()?;
    Ok(())
}

/// Pieces of all streams together that are read before they are wanted.
const AHEAD: usize = 512;

/// Reads a log before it is wanted: while the merge waits for one container, the engine goes on with
/// the others.
fn read_ahead(mut items: Items<LogChunk>, pieces: usize) -> Items<LogChunk> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(pieces);
    tokio::spawn(async move {
        while let Some(item) = items.next().await {
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    Box::pin(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)))
}

fn eprint_note(scene: &Scene, container: &Container, error: &compose_runtime::RuntimeError) {
    let text = format!("{}: {error}\n", log_name(scene, container));
    crate::output::Output::fallback().message(text);
}

/// The lines of one container, one at a time, with their times.
struct Merging {
    items: Items<LogChunk>,
    source: SourceId,
    splitter: LineSplitter,
    /// Lines with their times before them, one after the other.
    text: Vec<u8>,
    lines: VecDeque<Stamped>,
    ended: bool,
    last: Moment,
}

/// A line in the text of a [`Merging`].
struct Stamped {
    moment: Moment,
    channel: Channel,
    /// Where its time begins, where its words begin, and where they end.
    at: [usize; 3],
}

impl Merging {
    fn new(items: Items<LogChunk>, source: SourceId, stamped: bool) -> Self {
        Self {
            items,
            source,
            splitter: LineSplitter::new(stamped, true),
            text: Vec::new(),
            lines: VecDeque::new(),
            ended: false,
            last: [0; 29],
        }
    }

    /// The time of the next line, where one is ready.
    fn next_moment(&self) -> Option<Moment> {
        self.lines.front().map(|line| line.moment)
    }

    /// Makes sure that a line is ready, and tells its time.
    async fn advance(&mut self) -> anyhow::Result<Option<Moment>> {
        while self.lines.is_empty() && !self.ended {
            self.text.clear();
            let (text, lines, last) = (&mut self.text, &mut self.lines, &mut self.last);
            let mut take = |channel: Channel, line: &[u8]| {
                let (stamp, words) = without_stamp(line);
                // A line without a time belongs to the one before it.
                if !stamp.is_empty() {
                    *last = padded(stamp);
                }
                let start = text.len();
                text.extend_from_slice(line);
                let at = [start, text.len() - words.len(), text.len()];
                lines.push_back(Stamped { moment: *last, channel, at });
            };
            match self.items.next().await {
                Some(chunk) => self.splitter.push(&chunk?, &mut take),
                None => {
                    self.ended = true;
                    self.splitter.finish(&mut take);
                }
            }
        }
        Ok(self.next_moment())
    }

    /// Gives the next line out, with or without its time.
    fn take(&mut self, timed: bool, out: impl FnOnce(Channel, &[u8])) {
        let Some(Stamped { channel, at: [stamp, words, end], .. }) = self.lines.pop_front() else { return };
        let start = if timed { stamp } else { words };
        out(channel, self.text.get(start..end).unwrap_or_default());
    }
}
