//! The `undergird` command.

/// Answers are many short-lived buffers made on one thread and freed on another; the C library's allocator takes a lock and two
/// system calls where this one takes neither. It is also what keeps memory flat after a burst: pages go back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    undergird::run(std::env::args_os())
}
