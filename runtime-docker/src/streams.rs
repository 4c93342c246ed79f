//! Logs, attach, exec, events, archives and figures.

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine as _;
use compose_model::names::{ContainerId, ContainerName};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{
    AttachOptions, EngineEvent, EventQuery, ExecOptions, ExecSession, Items, LogChunk, LogOptions, PathStat, Reader,
    Session, Stats, Streams, Writer,
};
use futures_util::{StreamExt, TryStreamExt};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::containers::{self, path};
use crate::exec_input::ExecInput;
use crate::log_stream::LogStream;
use crate::stats::StatsBody;
use crate::transport::{Call, Class, Payload, Query, Raw, Transport, encode, header};
use crate::watchdog::Watched;
use crate::{error, frames, observe, time};

/// The engine's streams.
pub(crate) struct DockerStreams {
    transport: Transport,
    /// Whether the answer's media type tells framed from raw (Docker from API 1.42 on).
    telling: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IdBody {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ExecInspected {
    #[serde(default)]
    exit_code: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatBody {
    name: String,
    #[serde(default)]
    size: i64,
    #[serde(default)]
    mode: u32,
    #[serde(default)]
    link_target: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TopBody {
    titles: Option<Vec<String>>,
    processes: Option<Vec<Vec<String>>>,
}

#[derive(Deserialize)]
struct EventBody {
    #[serde(rename = "Action", default)]
    action: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    id: String,
    #[serde(rename = "Actor", default)]
    actor: Actor,
    #[serde(rename = "timeNano", default)]
    time_nano: i64,
    #[serde(default)]
    time: i64,
}

#[derive(Default, Deserialize)]
struct Actor {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: Option<BTreeMap<String, String>>,
}

impl EventBody {
    fn event(self) -> EngineEvent {
        let attributes = self.actor.attributes.unwrap_or_default();
        EngineEvent {
            action: if self.action.is_empty() { self.status } else { self.action },
            container: ContainerId::new(if self.actor.id.is_empty() { self.id } else { self.actor.id }),
            name: ContainerName::new(attributes.get("name").cloned().unwrap_or_default()),
            attributes,
            time: if self.time_nano == 0 { self.time.saturating_mul(1_000_000_000) } else { self.time_nano },
        }
    }
}

impl DockerStreams {
    pub(crate) const fn new(transport: Transport, telling: bool) -> Self {
        Self { transport, telling }
    }

    /// The stream, with an eye on the engine while it is silent.
    fn watched<S>(&self, inner: S, call: &str) -> Watched<S> {
        Watched::new(inner, self.transport.clone(), call.to_owned())
    }

    /// Whether an answer's output is raw; `None` where its head does not tell.
    fn is_raw(&self, headers: &http::HeaderMap) -> Option<bool> {
        if !self.telling || !self.transport.at_least(42) {
            return None;
        }
        match header(headers, "content-type")? {
            "application/vnd.docker.raw-stream" => Some(true),
            "application/vnd.docker.multiplexed-stream" => Some(false),
            _ => None,
        }
    }

    fn session(&self, raw: Raw, tty: bool, stdin: bool, output: bool) -> Session {
        let (reader, writer) = tokio::io::split(raw);
        let bytes = ReaderStream::with_capacity(reader, 32 * 1024);
        let bytes = bytes.map_err(|cause| error::broken("attached streams", &cause));
        let bytes = self.watched(bytes, "attached streams");
        let output: Items<LogChunk> =
            if output { frames::chunks(bytes, tty) } else { Box::pin(bytes.try_filter_map(|_| async { Ok(None) })) };
        Session { output, input: stdin.then(|| Box::pin(writer) as Writer) }
    }
}

fn reader(body: Watched<crate::transport::ByteStream>) -> Reader {
    Box::pin(StreamReader::new(body.map_err(std::io::Error::other)))
}

#[async_trait]
impl Streams for DockerStreams {
    async fn logs(&self, container: &str, options: &LogOptions) -> Result<Items<LogChunk>> {
        let query = Query::new()
            .with("stdout", "1")
            .with("stderr", "1")
            .flag("follow", options.follow)
            .flag("timestamps", options.timestamps)
            .maybe("since", &time::unix(&options.since)?)
            .maybe("until", &time::unix(&options.until)?)
            .with("tail", &options.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string()));
        let answer = self.transport.plain(Call::get(path(container, &format!("/logs{query}")))).await?;
        let tty = match self.is_raw(&answer.headers) {
            Some(raw) => raw,
            None => containers::inspect(&self.transport, container).await?.tty(),
        };
        Ok(Box::pin(self.watched(LogStream::new(answer.body, tty), "GET logs")))
    }

    async fn attach(&self, container: &str, options: &AttachOptions) -> Result<Session> {
        let query = Query::new()
            .with("stream", "1")
            .flag("stdin", options.stdin)
            .flag("stdout", options.output)
            .flag("stderr", options.output)
            .flag("logs", options.replay)
            .maybe("detachKeys", &options.detach_keys);
        let (headers, raw) = self.transport.hijack(Call::post(path(container, &format!("/attach{query}")))).await?;
        let tty = self.is_raw(&headers).unwrap_or(options.tty);
        Ok(self.session(raw, tty, options.stdin, options.output))
    }

    async fn exec(&self, container: &str, options: &ExecOptions) -> Result<ExecSession> {
        let attached = !options.detach;
        let body = json!({
            "AttachStdin": options.stdin && attached,
            "AttachStdout": attached,
            "AttachStderr": attached,
            "Tty": options.tty,
            "Cmd": options.command,
            "Env": options.environment,
            "User": options.user,
            "WorkingDir": options.working_dir,
            "Privileged": options.privileged,
        });
        let call = Call::post(path(container, "/exec")).json(&body)?;
        let id = self.transport.unary(call).await?.decode::<IdBody>()?.id;
        let mut start = json!({"Detach": options.detach, "Tty": options.tty});
        let early = self.transport.at_least(42);
        if let Some((columns, rows)) = options.size.filter(|_| early && options.tty && attached) {
            start["ConsoleSize"] = json!([rows, columns]);
        }
        let call = Call::post(format!("/exec/{}/start", encode(&id))).json(&start)?;
        if options.detach {
            self.transport.unary(call).await?.success()?;
            return Ok(ExecSession { id, session: None });
        }
        let (headers, raw) = self.transport.hijack(call).await?;
        if let Some((columns, rows)) = options.size.filter(|_| !early && options.tty) {
            // The process may be gone already, or not be there yet; its output tells more.
            let resized = self.resize(container, Some(&id), columns, rows).await;
            if let Err(error) = resized {
                tracing::debug!(%error, "the terminal's size could not be set");
            }
        }
        let tty = self.is_raw(&headers).unwrap_or(options.tty);
        let mut session = self.session(raw, tty, options.stdin, true);
        let held = |input| Box::pin(ExecInput::new(input, self.transport.clone(), id.clone())) as Writer;
        session.input = session.input.map(held);
        Ok(ExecSession { id, session: Some(session) })
    }

    async fn resize(&self, container: &str, exec: Option<&str>, columns: u16, rows: u16) -> Result<()> {
        let query = Query::new().with("h", &rows.to_string()).with("w", &columns.to_string());
        let path = match exec {
            Some(exec) => format!("/exec/{}/resize{query}", encode(exec)),
            None => path(container, &format!("/resize{query}")),
        };
        self.transport.unary(Call::post(path)).await?.success().map(drop)
    }

    async fn exec_exit_code(&self, _container: &str, exec: &str) -> Result<i64> {
        let call = Call::get(format!("/exec/{}/json", encode(exec)));
        let inspected: ExecInspected = self.transport.unary(call).await?.decode()?;
        inspected.exit_code.ok_or_else(|| RuntimeError::Conflict { message: "the command is still running".to_owned() })
    }

    async fn events(&self, query: &EventQuery) -> Result<Items<EngineEvent>> {
        let mut filters = json!({"type": ["container"]});
        if !query.labels.is_empty() {
            filters["label"] = observe::label_filters(&query.labels);
        }
        let query = Query::new()
            .with("filters", &filters.to_string())
            .maybe("since", &time::unix(&query.since)?)
            .maybe("until", &time::unix(&query.until)?);
        let answer = self.transport.stream(Call::get(format!("/events{query}"))).await?;
        let events = frames::lines(self.watched(answer, "GET /events")).try_filter(|line| {
            let blank = line.iter().all(u8::is_ascii_whitespace);
            async move { !blank }
        });
        Ok(Box::pin(events.map(|line| {
            let body: EventBody =
                serde_json::from_slice(&line?).map_err(|cause| error::unreadable("GET /events", &cause))?;
            Ok(body.event())
        })))
    }

    async fn put_archive(&self, container: &str, target: &str, archive: Reader, copy_owner: bool) -> Result<()> {
        let query =
            Query::new().with("path", target).with("noOverwriteDirNonDir", "true").flag("copyUIDGID", copy_owner);
        let mut call = Call::new(Method::PUT, path(container, &format!("/archive{query}")), Class::Long);
        call.payload = Payload::Archive(archive);
        self.transport.unary(call).await?.success().map(drop)
    }

    async fn get_archive(&self, container: &str, source: &str) -> Result<Reader> {
        let query = Query::new().with("path", source);
        let answer = self.transport.stream(Call::get(path(container, &format!("/archive{query}")))).await?;
        Ok(reader(self.watched(answer, "GET an archive")))
    }

    async fn stat_path(&self, container: &str, target: &str) -> Result<Option<PathStat>> {
        let query = Query::new().with("path", target);
        let call = Call::new(Method::HEAD, path(container, &format!("/archive{query}")), Class::Look);
        let answer = self.transport.unary(call).await?;
        if answer.status == StatusCode::NOT_FOUND {
            // An answer without a body: ask whether it is the container that is missing.
            containers::inspect(&self.transport, container).await?;
            return Ok(None);
        }
        let answer = answer.success()?;
        let call = "HEAD archive";
        let text = header(&answer.headers, "x-docker-container-path-stat").unwrap_or_default();
        let text =
            base64::engine::general_purpose::STANDARD.decode(text).map_err(|cause| error::unreadable(call, &cause))?;
        let stat: StatBody = serde_json::from_slice(&text).map_err(|cause| error::unreadable(call, &cause))?;
        Ok(Some(PathStat {
            name: stat.name,
            size: stat.size,
            // Go's file modes: the highest bit is a directory, the next but four a symbolic link.
            is_directory: stat.mode & (1 << 31) != 0,
            link_target: stat.link_target,
            mode: stat.mode & 0o777,
        }))
    }

    async fn export(&self, container: &str) -> Result<Reader> {
        let answer = self.transport.stream(Call::get(path(container, "/export"))).await?;
        Ok(reader(self.watched(answer, "GET an archive")))
    }

    async fn top(&self, container: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        let body: TopBody = self.transport.unary(Call::get(path(container, "/top"))).await?.decode()?;
        Ok((body.titles.unwrap_or_default(), body.processes.unwrap_or_default()))
    }

    async fn stats(&self, container: &str, follow: bool) -> Result<Items<Stats>> {
        let stream = if follow { "1" } else { "0" };
        let call = Call::get(path(container, &format!("/stats?stream={stream}")));
        let answer = self.transport.stream(call).await?;
        let mut before = None;
        Ok(Box::pin(frames::lines(self.watched(answer, "GET stats")).map(move |line| {
            let body: StatsBody =
                serde_json::from_slice(&line?).map_err(|cause| error::unreadable("GET stats", &cause))?;
            Ok(body.figures(&mut before))
        })))
    }
}
