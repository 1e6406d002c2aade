/// Watches an answer for strings that end it, and holds text back until it is clear that none begins in it.
struct StopStrings: Sendable {
    private let stops: [[UInt8]]
    private var held: [UInt8] = []

    /// - Parameter stops: empty strings are ignored.
    init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty } }

    var isEmpty: Bool { stops.isEmpty }

    /// - Returns: the text that no stop string can begin in any more, and whether one is complete: then the text ends before
    ///   it. Of several, the one that begins first counts.
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

    /// The answer has ended otherwise.
    ///
    /// - Returns: what was held back.
    mutating func finish() -> String { release(held.count) }

    private mutating func release(_ count: Int) -> String {
        defer { held.removeFirst(count) }
        return String(decoding: held[..<count], as: UTF8.self)
    }
}
