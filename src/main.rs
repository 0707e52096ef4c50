//! The `nyc311` binary.

fn main() -> std::process::ExitCode {
    nyc311::cli::main()
}
