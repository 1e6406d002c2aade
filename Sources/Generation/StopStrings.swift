/// Searches an answer for stop strings, and holds text back while it may be the start of one.
struct StopStrings: Sendable {
    private let stops: [[UInt8]]
    private var held: [UInt8] = []

    /// - Parameter stops: empty strings are ignored.
    init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty } }

    var isEmpty: Bool { stops.isEmpty }

    /// - Returns: the text that cannot be part of a stop string, and whether a stop string is complete: then the
    ///   text ends before it. Of several, the one that starts first counts.
    mutating func append(_ text: String) -> (text: String, isComplete: Bool) {
        guard !isEmpty else { return (text, false) }
        held += text.utf8
        for start in held.indices {
            let rest = held[start...]
            if stops.contains(where: { rest.starts(with: $0) }) { return (release(start), true) }
            if stops.contains(where: { $0.starts(with: rest) }) { return (release(start), false) }
        }
        return (release(held.count), false)
    }

    /// Called if the answer ends without a stop string.
    ///
    /// - Returns: the text that was held back.
    mutating func finish() -> String { release(held.count) }

    private mutating func release(_ count: Int) -> String {
        defer { held.removeFirst(count) }
        return String(decoding: held[..<count], as: UTF8.self)
    }
}
