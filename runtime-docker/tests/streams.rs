//! Logs, attach, exec, events, archives and figures on real engines.
//!
//! Run with `COMPOSE_TEST_DOCKER20` and `COMPOSE_TEST_DOCKER28` set to `unix://` addresses.

mod support;

use std::io::Read;
use std::sync::Arc;

use compose_runtime::Runtime;
use compose_runtime::port::{AttachOptions, EventQuery, ExecOptions, LogOptions};
use futures_util::StreamExt;
use support::{Bench, TEST_LABEL, collect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

on_both_engines! {
    output_of_a_terminal_keeps_bytes_that_look_like_frames
    long_lines_come_out_whole
    logs_are_cut_by_tail_and_by_fractions_of_seconds
    following_logs_ends_with_the_container
    an_exec_sees_the_end_of_its_input_and_tells_its_exit_code
    a_terminal_has_the_size_that_was_asked_for
    attached_input_and_output_reach_the_process
    events_tell_start_and_end
    archives_go_in_and_out
    figures_processes_and_export
    a_missing_container_is_not_found
}

async fn output_of_a_terminal_keeps_bytes_that_look_like_frames(bench: Arc<Bench>) {
    let mut spec = bench.spec("tty", r"printf '\001\002AB\377xxxxxxx'");
    spec.tty = true;
    let id = bench.runtime.containers().create(&spec).await.expect("created").id;
    let options = AttachOptions { output: true, tty: true, ..AttachOptions::default() };
    let attached = bench.runtime.streams().attach(id.as_str(), &options).await.expect("attached");
    bench.runtime.containers().start(id.as_str()).await.expect("started");
    assert_eq!(collect(attached.output).await.0, b"\x01\x02AB\xffxxxxxxx");
    assert_eq!(bench.runtime.containers().wait(id.as_str()).await.expect("ended"), 0);
    let logs = bench.runtime.streams().logs(id.as_str(), &LogOptions::default()).await.expect("logs");
    // The engine's log is JSON: it keeps text, and a replacement for what is no UTF-8.
    assert_eq!(collect(logs).await, ("\u{1}\u{2}AB\u{fffd}xxxxxxx".as_bytes().to_vec(), Vec::new()));
}

async fn long_lines_come_out_whole(bench: Arc<Bench>) {
    let id = bench.started(&bench.spec("long", "head -c 40000 /dev/zero | tr '\\0' x; echo; echo e >&2")).await;
    bench.runtime.containers().wait(&id).await.expect("ended");
    let logs = bench.runtime.streams().logs(&id, &LogOptions::default()).await.expect("logs");
    let (out, err) = collect(logs).await;
    assert_eq!(out.len(), 40_001);
    assert!(out.starts_with(b"xxx") && out.ends_with(b"x\n"));
    assert_eq!(err, b"e\n");
    let options = LogOptions { timestamps: true, ..LogOptions::default() };
    let (out, _) = collect(bench.runtime.streams().logs(&id, &options).await.expect("logs")).await;
    let text = String::from_utf8(out).expect("text");
    let (time, line) = text.split_once(' ').expect("a time and a line");
    assert!(time.ends_with('Z') && time.starts_with("20"), "{time}");
    assert_eq!(line.trim_end().bytes().filter(|byte| *byte == b'x').count(), 40_000);
}

async fn logs_are_cut_by_tail_and_by_fractions_of_seconds(bench: Arc<Bench>) {
    let id = bench.started(&bench.spec("cut", "echo one; sleep 0.3; echo two; sleep 0.3; echo three")).await;
    bench.runtime.containers().wait(&id).await.expect("ended");
    let logs = |options: LogOptions| {
        let bench = Arc::clone(&bench);
        let id = id.clone();
        async move {
            String::from_utf8(collect(bench.runtime.streams().logs(&id, &options).await.expect("logs")).await.0)
                .expect("text")
        }
    };
    assert_eq!(logs(LogOptions { tail: Some(1), ..LogOptions::default() }).await, "three\n");
    assert_eq!(logs(LogOptions { tail: Some(0), ..LogOptions::default() }).await, "");
    let all = logs(LogOptions { timestamps: true, ..LogOptions::default() }).await;
    let second = all.lines().nth(1).and_then(|line| line.split_once(' ')).expect("the second line").0.to_owned();
    assert_eq!(logs(LogOptions { since: second.clone(), ..LogOptions::default() }).await, "two\nthree\n");
    assert!(!logs(LogOptions { until: second, ..LogOptions::default() }).await.contains("three"));
    assert_eq!(logs(LogOptions { since: "2050-01-01T00:00:00Z".into(), ..LogOptions::default() }).await, "");
}

async fn following_logs_ends_with_the_container(bench: Arc<Bench>) {
    let id = bench.started(&bench.spec("follow", "echo first; sleep 0.5; echo last")).await;
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let logs = bench.runtime.streams().logs(&id, &options).await.expect("logs");
    assert_eq!(collect(logs).await.0, b"first\nlast\n");
}

async fn an_exec_sees_the_end_of_its_input_and_tells_its_exit_code(bench: Arc<Bench>) {
    let id = bench.started(&bench.spec("exec", "sleep 100")).await;
    let options = ExecOptions {
        command: vec!["sh".into(), "-c".into(), "wc -c; echo $K >&2; pwd; exit 7".into()],
        environment: vec!["K=v".into()],
        working_dir: "/tmp".into(),
        stdin: true,
        ..ExecOptions::default()
    };
    let exec = bench.runtime.streams().exec(&id, &options).await.expect("executed");
    let session = exec.session.expect("streams");
    let mut input = session.input.expect("an input");
    let writing = tokio::spawn(async move {
        input.write_all(&vec![b'y'; 300_000]).await.expect("written");
        input.shutdown().await.expect("closed");
        // Kept open until here: closing the write side alone must be enough.
        input
    });
    let (out, err) = collect(session.output).await;
    assert_eq!(String::from_utf8_lossy(&out), "300000\n/tmp\n");
    assert_eq!(err, b"v\n");
    drop(writing.await.expect("written"));
    assert_eq!(bench.runtime.streams().exec_exit_code(&id, &exec.id).await.expect("a code"), 7);

    let detached =
        ExecOptions { command: vec!["touch".into(), "/tmp/there".into()], detach: true, ..ExecOptions::default() };
    let exec = bench.runtime.streams().exec(&id, &detached).await.expect("executed");
    assert!(exec.session.is_none());

    let missing = ExecOptions { command: vec!["/no/such".into()], ..ExecOptions::default() };
    let exec = bench.runtime.streams().exec(&id, &missing).await.expect("the engine tells in the output");
    let (out, _) = collect(exec.session.expect("streams").output).await;
    let out = String::from_utf8_lossy(&out);
    assert!(out.contains("no such file or directory"), "{out}");
    let code = bench.runtime.streams().exec_exit_code(&id, &exec.id).await.expect("a code");
    assert!([126, 127].contains(&code), "{code}");
}

async fn a_terminal_has_the_size_that_was_asked_for(bench: Arc<Bench>) {
    let id = bench.started(&bench.spec("size", "sleep 100")).await;
    let options = ExecOptions {
        command: vec!["sh".into(), "-c".into(), "read line; stty size; read line; stty size".into()],
        tty: true,
        stdin: true,
        size: Some((101, 33)),
        ..ExecOptions::default()
    };
    let exec = bench.runtime.streams().exec(&id, &options).await.expect("executed");
    let mut session = exec.session.expect("streams");
    let mut input = session.input.take().expect("an input");
    let mut seen = String::new();
    input.write_all(b"\n").await.expect("written");
    while !seen.contains("33 101") {
        let chunk = session.output.next().await.expect("more output").expect("output");
        seen.push_str(&String::from_utf8_lossy(&chunk.bytes));
    }
    bench.runtime.streams().resize(&id, Some(&exec.id), 80, 24).await.expect("resized");
    input.write_all(b"\n").await.expect("written");
    let (rest, _) = collect(session.output).await;
    assert!(String::from_utf8_lossy(&rest).contains("24 80"), "{rest:?}");
}

async fn attached_input_and_output_reach_the_process(bench: Arc<Bench>) {
    let mut spec = bench.spec("attach", "cat; echo bye >&2; exit 3");
    (spec.stdin_open, spec.stdin_once) = (true, true);
    let id = bench.runtime.containers().create(&spec).await.expect("created").id;
    let options = AttachOptions { stdin: true, output: true, ..AttachOptions::default() };
    let mut session = bench.runtime.streams().attach(id.as_str(), &options).await.expect("attached");
    bench.runtime.containers().start(id.as_str()).await.expect("started");
    let mut input = session.input.take().expect("an input");
    input.write_all(b"\x01\x02hello\n").await.expect("written");
    input.shutdown().await.expect("closed");
    let (out, err) = collect(session.output).await;
    assert_eq!((out.as_slice(), err.as_slice()), (b"\x01\x02hello\n".as_slice(), b"bye\n".as_slice()));
    assert_eq!(bench.runtime.containers().wait(id.as_str()).await.expect("ended"), 3);
}

async fn events_tell_start_and_end(bench: Arc<Bench>) {
    let query = EventQuery { labels: vec![(TEST_LABEL.into(), Some(bench.name.clone()))], ..EventQuery::default() };
    let mut events = bench.runtime.streams().events(&query).await.expect("events");
    let id = bench.started(&bench.spec("events", "exit 5")).await;
    let mut actions = Vec::new();
    while let Some(event) = events.next().await {
        let event = event.expect("an event");
        assert_eq!(event.container.as_str(), id);
        assert_eq!(event.name.as_str(), bench.name("events"));
        assert!(event.time > 1_600_000_000_000_000_000);
        let die = event.action == "die";
        if die {
            assert_eq!(event.attributes.get("exitCode").map(String::as_str), Some("5"));
        }
        actions.push(event.action);
        if die {
            break;
        }
    }
    actions.retain(|action| action != "attach" && action != "resize");
    assert_eq!(actions, ["create", "start", "die"]);
    let bounded = EventQuery { since: "1".into(), until: "2050-01-01".into(), ..query.clone() };
    drop(bench.runtime.streams().events(&bounded).await.expect("a bound in the far future"));
    let past = EventQuery { since: "1".into(), until: "2".into(), ..query };
    assert_eq!(bench.runtime.streams().events(&past).await.expect("events").count().await, 0);
}

async fn archives_go_in_and_out(bench: Arc<Bench>) {
    let id = bench.runtime.containers().create(&bench.spec("files", "sleep 100")).await.expect("created").id;
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o640);
    header.set_uid(7);
    header.set_gid(8);
    header.set_cksum();
    archive.append_data(&mut header, "dir/fi le", b"hello".as_slice()).expect("packed");
    let archive = archive.into_inner().expect("packed");
    let streams = bench.runtime.streams();
    streams.put_archive(id.as_str(), "/tmp", Box::pin(std::io::Cursor::new(archive)), false).await.expect("copied in");
    let stat = streams.stat_path(id.as_str(), "/tmp/dir/fi le").await.expect("looked").expect("there");
    assert_eq!((stat.name.as_str(), stat.size, stat.mode, stat.is_directory), ("fi le", 5, 0o640, false));
    assert!(streams.stat_path(id.as_str(), "/tmp/dir").await.expect("looked").expect("there").is_directory);
    assert_eq!(streams.stat_path(id.as_str(), "/nowhere").await.expect("looked"), None);
    assert!(streams.stat_path("no-such-container", "/").await.expect_err("no container").is_not_found());
    let link = streams.stat_path(id.as_str(), "/bin/sh").await.expect("looked").expect("there");
    assert!(link.link_target.ends_with("busybox"), "{link:?}");
    let mut bytes = Vec::new();
    let mut reader = streams.get_archive(id.as_str(), "/tmp/dir/fi le").await.expect("a reader");
    reader.read_to_end(&mut bytes).await.expect("read");
    assert_eq!(first_entry(&bytes), (Some(7), Some(0o640), "hello".to_owned()));
    assert!(streams.get_archive(id.as_str(), "/nowhere").await.err().expect("an error").is_not_found());
}

/// Owner, mode and content of an archive's first file.
fn first_entry(bytes: &[u8]) -> (Option<u64>, Option<u32>, String) {
    let mut archive = tar::Archive::new(bytes);
    let mut entry = archive.entries().expect("entries").next().expect("one").expect("good");
    let mut text = String::new();
    entry.read_to_string(&mut text).expect("read");
    (entry.header().uid().ok(), entry.header().mode().ok().map(|mode| mode & 0o7777), text)
}

async fn figures_processes_and_export(bench: Arc<Bench>) {
    let id = bench.started(&bench.spec("figures", "sleep 100; true")).await;
    let streams = bench.runtime.streams();
    let once: Vec<_> = streams.stats(&id, false).await.expect("figures").collect().await;
    let once = once.into_iter().next().expect("one").expect("good");
    assert!(once.memory_used > 0 && once.processes >= 1, "{once:?}");
    let mut following = streams.stats(&id, true).await.expect("figures");
    for _ in 0..2 {
        following.next().await.expect("more").expect("good");
    }
    let (titles, rows) = streams.top(&id).await.expect("processes");
    let command = titles.iter().position(|title| title == "CMD").expect("a column");
    assert!(rows.iter().any(|row| row[command].contains("sleep 100")), "{rows:?}");
    let mut export = streams.export(&id).await.expect("a reader");
    let mut start = vec![0; 1024];
    export.read_exact(&mut start).await.expect("read");
    assert_eq!(&start[257..262], b"ustar");
}

async fn a_missing_container_is_not_found(bench: Arc<Bench>) {
    let streams = bench.runtime.streams();
    let logs = streams.logs("no such", &LogOptions::default()).await.err().expect("an error");
    assert!(logs.is_not_found());
    assert_eq!(logs.to_string(), "Error response from daemon: No such container: no such");
    let attach = streams.attach("no-such", &AttachOptions::default()).await.err().expect("an error");
    assert!(attach.is_not_found(), "{attach}");
    let exec = ExecOptions { command: vec!["true".into()], ..ExecOptions::default() };
    assert!(streams.exec("no-such", &exec).await.err().expect("an error").is_not_found());
    let id = bench.runtime.containers().create(&bench.spec("created", "true")).await.expect("created").id;
    assert!(streams.exec(id.as_str(), &exec).await.err().expect("an error").is_conflict());
}
