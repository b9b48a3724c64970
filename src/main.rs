//! The `ringlink` binary: the command line of the library.
#![forbid(unsafe_code)]

/// The data path allocates little; what it does allocate is small and short-lived.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ringlink::cli::main()
}
