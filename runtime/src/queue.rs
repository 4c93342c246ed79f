//! A dependency queue that knows nothing of engines.
