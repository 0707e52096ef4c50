//! How the allocator of production is built, which no build without optimisation shows.

/// Without it a process keeps what was freed, in an arena for each thread: half as much memory again at the
/// peak. And giving back at once has every batch fault its pages in again.
#[test]
fn the_allocator_has_few_arenas_and_gives_back_soon() {
    let config: toml::Table = include_str!("../../.cargo/config.toml").parse().unwrap();
    let stated = config["env"]["JEMALLOC_SYS_WITH_MALLOC_CONF"].as_str().unwrap();
    for option in ["narenas:2", "dirty_decay_ms:400", "muzzy_decay_ms:0"] {
        assert!(stated.split(',').any(|stated| stated == option), "{option} is not in {stated:?}");
    }
}
