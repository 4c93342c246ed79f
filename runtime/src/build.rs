//! Build steps, one or several in one go. What the builders are is the backends' to say.

use compose_planner::{Op, Step};

use crate::dispatch::Context;
use crate::error::RuntimeError;
use crate::event::{Completion, Progress};
use crate::port::{BuildFailure, Builds};

/// Builds what the steps ask for and tells how each has ended. The position in a failure is that of
/// the step.
pub(crate) async fn build(context: Context<'_>, steps: &[&Step]) -> Result<Vec<Completion>, BuildFailure> {
    let runtime = context.runtime;
    let (mut specs, mut positions) = (Vec::new(), Vec::new());
    let mut done = vec![Completion::AlreadySo; steps.len()];
    for (position, step) in steps.iter().enumerate() {
        let Op::Build { spec } = &step.op else { continue };
        if !spec.only_if_missing || !matches!(runtime.images().inspect(spec.image.as_str()).await, Ok(Some(_))) {
            specs.push(spec.as_ref());
            positions.push(position);
        }
    }
    let Some(first) = specs.first() else { return Ok(done) };
    let Some(builder) = runtime.builder() else {
        return Err(BuildFailure::from(RuntimeError::Unsupported {
            engine: runtime.capabilities().engine.clone(),
            what: format!("build the image {}", first.image),
        }));
    };
    let output = |(index, line): (usize, String)| {
        if let Some(&position) = positions.get(index) {
            context.progress(&steps[position].id, Progress::Output(line));
        }
    };
    let builds = Builds { specs: &specs, secrets: context.contents, form: context.build_output, output: &output };
    match builder.build(&builds).await {
        Ok(_) => {
            for &position in &positions {
                done[position] = Completion::Done;
            }
            Ok(done)
        }
        Err(failure) => {
            let position = positions.get(failure.position).copied().unwrap_or_default();
            Err(BuildFailure { position, ..failure })
        }
    }
}
