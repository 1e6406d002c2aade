import Logging

/// Prints the library's log messages on standard error: `gemma4: warning: …`.
struct StandardErrorLog: LogHandler {
    var logLevel = Logger.Level.notice
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let prefix = event.level >= .warning ? "\(event.level): " : ""
        ByteSink.standardError.report(prefix + "\(event.message)")
    }
}
