import Foundation
import Gemma4Kit
import Logging
import Synchronization

/// Logs as JSON, one object per line, to standard error.
public struct JSONLog: LogHandler {
    /// The lowest level that is written.
    public var logLevel = Logger.Level.info
    /// What every line has.
    public var metadata: Logger.Metadata = [:]
    private let label: String
    private let write: @Sendable (String) -> Void

    /// - Parameter write: called with each line, including the line end; by default writes to standard error.
    public init(label: String, write: @escaping @Sendable (String) -> Void = JSONLog.toStandardError) {
        (self.label, self.write) = (label, write)
    }

    /// Writes a line to standard error.
    public static let toStandardError: @Sendable (String) -> Void = { line in
        FileHandle.standardError.write(Data(line.utf8))
    }

    /// One value of the metadata.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes the event as one line of JSON.
    public func log(event: LogEvent) {
        var members: [JSONValue.Member] = [
            .init("time", .string(Date.now.formatted(Self.timeFormat))), .init("level", .string("\(event.level)")),
            .init("logger", .string(label)), .init("message", .string("\(event.message)")),
        ]
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) { members.append(.init(key, Self.json(value))) }
        write(JSONValue.object(members).json + "\n")
    }

    private static let timeFormat = Date.ISO8601FormatStyle(includingFractionalSeconds: true)

    private static func json(_ value: Logger.Metadata.Value) -> JSONValue {
        switch value {
        case .string(let text): .string(text)
        case .stringConvertible(let value as Int): .integer(value)
        case .stringConvertible(let value as Double): .number(value)
        case .stringConvertible(let value): .string("\(value)")
        case .array(let values): .array(values.map(json))
        case .dictionary(let values):
            .object(values.sorted { $0.key < $1.key }.map { .init($0.key, json($0.value)) })
        }
    }
}
