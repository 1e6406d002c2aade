import Synchronization

/// Results as they are produced. Leaving the loop, or cancelling the task that runs it, cancels the work that
/// produces them.
///
/// For a single loop: a second iteration gets only the results that the first has left.
public struct ResultStream<Element: Sendable>: AsyncSequence, Sendable {
    private let stream: AsyncThrowingStream<Element, any Error>
    private let backlog: Backlog

    /// A stream, and the channel that feeds it.
    static func make() -> (stream: ResultStream, channel: ResultChannel<Element>) {
        let backlog = Backlog()
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: Element.self)
        return (ResultStream(stream: stream, backlog: backlog), ResultChannel(continuation, backlog))
    }

    private init(stream: AsyncThrowingStream<Element, any Error>, backlog: Backlog) {
        (self.stream, self.backlog) = (stream, backlog)
    }

    /// The results of `produce`, which runs in a separate task.
    package init(
        _ produce: @escaping @Sendable (_ yield: @escaping @Sendable (Element) -> Void) async throws -> Void
    ) {
        let (stream, channel) = Self.make()
        let task = Task {
            do {
                try await produce { channel.yield($0) }
                channel.finish()
            } catch {
                channel.finish(throwing: error)
            }
        }
        channel.onCancel { task.cancel() }
        stream.backlog.onEarlyEnd { task.cancel() }
        self = stream
    }

    /// Cancels the task that produces the results, without leaving the loop: results that the task still yields are
    /// delivered.
    package func cancelProducer() { backlog.endEarly() }

    /// The results that are still to come.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate var base: AsyncThrowingStream<Element, any Error>.Iterator
        fileprivate let backlog: Backlog

        /// The next result; nil at the end.
        public mutating func next() async throws -> Element? {
            let element = try await base.next()
            if element != nil { backlog.take() }
            return element
        }
    }

    /// The results from here on.
    public func makeAsyncIterator() -> Iterator { Iterator(base: stream.makeAsyncIterator(), backlog: backlog) }
}

/// The producer's end of a stream.
package struct ResultChannel<Element: Sendable>: Sendable {
    private let continuation: AsyncThrowingStream<Element, any Error>.Continuation
    private let backlog: Backlog

    fileprivate init(_ continuation: AsyncThrowingStream<Element, any Error>.Continuation, _ backlog: Backlog) {
        (self.continuation, self.backlog) = (continuation, backlog)
    }

    /// Whether so many results are unread that the producer should wait.
    var isFull: Bool { backlog.isFull }

    func yield(_ element: Element) {
        backlog.add()
        continuation.yield(element)
    }

    func finish(throwing error: (any Error)? = nil) { continuation.finish(throwing: error) }

    /// - Parameter body: called if the reader leaves before the end.
    func onCancel(_ body: @escaping @Sendable () -> Void) {
        continuation.onTermination = { if case .cancelled = $0 { body() } }
    }

    /// - Parameter body: called when a full channel has room again.
    func onRoom(_ body: @escaping @Sendable () -> Void) { backlog.onRoom(body) }
}

/// Counts unread results, and notifies the producer of the reader's progress.
private final class Backlog: Sendable {
    /// Maximum number of unread results.
    private static let limit = 256

    private let waiting = Atomic(0)
    private let room = Mutex<(@Sendable () -> Void)?>(nil)
    private let earlyEnd = Mutex<(@Sendable () -> Void)?>(nil)

    var isFull: Bool { waiting.load(ordering: .acquiring) >= Self.limit }

    func add() { waiting.add(1, ordering: .acquiringAndReleasing) }

    func take() {
        let before = waiting.subtract(1, ordering: .acquiringAndReleasing).oldValue
        if before == Self.limit { room.withLock { $0 }?() }
    }

    func onRoom(_ body: @escaping @Sendable () -> Void) { room.withLock { $0 = body } }

    func onEarlyEnd(_ body: @escaping @Sendable () -> Void) { earlyEnd.withLock { $0 = body } }

    func endEarly() { earlyEnd.withLock { $0 }?() }
}
