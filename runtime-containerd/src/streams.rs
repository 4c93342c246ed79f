//! The port's traits for images and streams, handed on to the parts that do the work.

use async_trait::async_trait;
use compose_model::names::ImageRef;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{
    AttachOptions, EngineEvent, EventQuery, ExecOptions, ExecSession, ImageDescription, ImageSummary, Images, Items,
    LogChunk, LogOptions, Outcome, PathStat, ProgressSink, Reader, Session, Stats, Streams, TransferProgress,
};
use futures_util::StreamExt;
use tokio::sync::oneshot;

use crate::core::Core;
use crate::detach::{Keys, Lookout};

#[async_trait]
impl Images for Core {
    async fn pull(&self, image: &ImageRef, platform: &str, progress: ProgressSink<'_, TransferProgress>) -> Result<()> {
        self.pull_image(image, platform, progress).await
    }

    async fn push(&self, image: &ImageRef, progress: ProgressSink<'_, TransferProgress>) -> Result<()> {
        self.push_image(image, progress).await
    }

    async fn remove(&self, image: &ImageRef) -> Result<Outcome> {
        self.remove_image(image).await
    }

    async fn inspect(&self, image: &str) -> Result<Option<ImageDescription>> {
        self.describe_image(image).await
    }

    async fn load(&self, archive: Reader) -> Result<Vec<String>> {
        self.load_archive(archive).await
    }

    async fn list(&self, label: &str, value: &str) -> Result<Vec<ImageSummary>> {
        self.images_with(label, value).await
    }

    async fn resolve_digest(&self, image: &ImageRef) -> Result<String> {
        self.resolve_in_registry(image).await
    }
}

#[async_trait]
impl Streams for Core {
    async fn logs(&self, container: &str, options: &LogOptions) -> Result<Items<LogChunk>> {
        self.read_logs(container, options).await
    }

    async fn attach(&self, container: &str, options: &AttachOptions) -> Result<Session> {
        let (found, record) = self.find_own(container).await?;
        let keys = Keys::parse(&options.detach_keys)?;
        if options.output && self.task(&found.id).await?.is_some() {
            self.remember_end(&found.id).await;
        }
        let output: Items<LogChunk> = if options.output {
            self.attach_output(&found.id, options.replay).await?
        } else {
            Box::pin(futures_util::stream::empty())
        };
        let connected = options.stdin && record.stdin_open;
        // Where there is no terminal, keys are bytes as others.
        let (output, lookout) = if connected && record.tty {
            let (found, left) = oneshot::channel();
            // Who looks for them may end first, with the input.
            let left = async move {
                if left.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            (Box::pin(output.take_until(Box::pin(left))) as Items<LogChunk>, Some(Lookout { keys, found }))
        } else {
            (output, None)
        };
        let input = if connected {
            let path = self.pipes(&found.id).stdin;
            if self.task(&found.id).await?.is_some() {
                let sender = crate::exec::open_input(&path)?;
                Some(self.input(sender, &found.id, "", lookout))
            } else {
                Some(self.input_after_start(&found.id, lookout).await?)
            }
        } else {
            None
        };
        Ok(Session { output, input })
    }

    async fn exec(&self, container: &str, options: &ExecOptions) -> Result<ExecSession> {
        self.start_exec(container, options).await
    }

    async fn resize(&self, container: &str, exec: Option<&str>, columns: u16, rows: u16) -> Result<()> {
        let found = self.find(container).await?;
        self.resize_terminal(&found.id, exec, columns, rows).await
    }

    async fn exec_exit_code(&self, _container: &str, exec: &str) -> Result<i64> {
        self.wait_exec(exec).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Items<EngineEvent>> {
        self.follow_events(query).await
    }

    async fn put_archive(&self, container: &str, path: &str, archive: Reader, copy_owner: bool) -> Result<()> {
        self.put_files(container, path, archive, copy_owner).await
    }

    async fn get_archive(&self, container: &str, path: &str) -> Result<Reader> {
        self.get_files(container, path).await
    }

    async fn stat_path(&self, container: &str, path: &str) -> Result<Option<PathStat>> {
        self.stat_file(container, path).await
    }

    async fn export(&self, container: &str) -> Result<Reader> {
        self.get_files(container, "/").await
    }

    async fn top(&self, container: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        self.processes(container).await
    }

    async fn stats(&self, container: &str, follow: bool) -> Result<Items<Stats>> {
        self.figures(container, follow).await
    }
}

impl Core {
    /// A writer into the input of a container that is about to be started.
    async fn input_after_start(&self, id: &str, lookout: Option<Lookout>) -> Result<compose_runtime::port::Writer> {
        let mut events = self.subscribe(&[format!("topic==\"/tasks/start\",event.container_id==\"{id}\"")]).await?;
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let (core, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move {
            let started = loop {
                match events.message().await {
                    Ok(Some(event)) if event.topic == "/tasks/start" => break true,
                    Ok(Some(_)) => {}
                    _ => break false,
                }
            };
            let path = core.pipes(&id).stdin;
            let opened = match started {
                true => crate::exec::open_input(&path),
                false => Err(RuntimeError::Failed { message: "containerd's events ended".to_owned() }),
            };
            match opened {
                Ok(sender) => {
                    let mut writer = core.input(sender, &id, "", lookout);
                    let _ = tokio::io::copy(&mut far, &mut writer).await;
                    let _ = tokio::io::AsyncWriteExt::shutdown(&mut writer).await;
                }
                Err(error) => tracing::warn!(container = id, %error, "connecting standard input"),
            }
        });
        Ok(Box::pin(near))
    }
}
