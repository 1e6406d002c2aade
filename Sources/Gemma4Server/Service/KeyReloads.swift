import Logging
import ServiceLifecycle
import UnixSignals

/// Reloads the keys on SIGHUP.
struct KeyReloads: Service {
    let keys: APIKeys
    let logger: Logger

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            do {
                let count = try keys.reload()
                logger.notice("read \(count) keys anew")
            } catch {
                logger.error("the old keys hold: \(error)")
            }
        }
    }
}
