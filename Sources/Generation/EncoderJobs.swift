import Gemma4
import Tensors

/// The queue of media that wait for their encoders, first come first served within each priority, and the soft tokens of
/// recent media.
struct EncoderJobs {
    private struct Entry {
        let input: EncoderInput
        let priority: GenerationOptions.Priority
        var job: EncoderJob?
        /// Seconds of a row in the last portion of each kind.
        var rowSeconds: [EncoderJob.Portion: Double] = [:]

        /// Rows of a portion that takes `limit` seconds; the fewest there are before one was timed.
        func rows(_ kind: EncoderJob.Portion, within limit: Double) -> Int {
            guard let row = rowSeconds[kind], row > 0 else { return EncoderJob.fewestRows }
            return Int(min(limit / row, Double(EncoderJobs.mostRows)))
        }
    }

    /// Rows of a portion of a large layer at most.
    private static let mostRows = 2048

    /// Most bytes of soft tokens that are kept for media that come again.
    private let byteLimit: Int
    private var queue: [Entry] = []
    private var kept: [ContentHash: (softTokens: Tensor, lastUse: Int)] = [:]
    private var clock = 0
    private(set) var hits = 0

    init(byteLimit: Int) { self.byteLimit = byteLimit }

    var isEmpty: Bool { queue.isEmpty }
    var waiting: Int { queue.count }
    var byteCount: Int { kept.values.reduce(0) { $0 + $1.softTokens.shape.count * 4 } }

    /// Puts a medium in line, unless its soft tokens are there or on their way.
    mutating func add(_ input: EncoderInput, _ priority: GenerationOptions.Priority = .interactive) {
        clock += 1
        guard input.softTokens == nil else { return }
        if let found = kept[input.hash] {
            hits += 1
            kept[input.hash]!.lastUse = clock
            return input.finish(found.softTokens)
        }
        if queue.contains(where: { $0.input === input }) { return }
        queue.insert(
            Entry(input: input, priority: priority), at: PassPlanner.place(of: priority, in: queue.map(\.priority)))
    }

    /// Takes media out of the line that nobody waits for any more.
    mutating func keep(where isWanted: (EncoderInput) -> Bool) { queue.removeAll { !isWanted($0.input) } }

    /// Runs one portion of the first job: of a layer that can be cut, as many rows as fit.
    ///
    /// - Parameter limit: seconds that the portion should take; nil for the most rows at once.
    /// - Returns: the medium, if that was its last portion.
    /// - Throws: `ModelInputError` with the medium taken out of the line.
    mutating func advance(_ model: Gemma4Model, within limit: Double?) throws -> EncoderInput? {
        let input = queue[0].input
        // Another prompt may have brought the same content meanwhile.
        if let found = kept[input.hash] {
            hits += 1
            queue.removeFirst()
            input.finish(found.softTokens)
            return input
        }
        do {
            var job = try queue[0].job ?? model.encoderJob(input.content()!)
            queue[0].job = nil  // so that the job's tensors have one owner
            let kind = job.nextPortion
            let rows = job.rows(atMost: limit.map { queue[0].rows(kind, within: $0) } ?? Self.mostRows)
            var softTokens: Tensor?
            let took = ContinuousClock().measure { softTokens = job.advance(rows: rows) }
            guard let softTokens else {
                queue[0].job = job
                queue[0].rowSeconds[kind] = took.inSeconds / Double(rows)
                return nil
            }
            queue.removeFirst()
            keep(softTokens, of: input.hash)
            input.finish(softTokens)
            return input
        } catch {
            queue.removeFirst()
            throw error
        }
    }

    /// Whether a portion like the next was timed, and one of the fewest rows takes no longer than `limit` seconds.
    func fits(within limit: Double) -> Bool {
        guard let entry = queue.first, let job = entry.job, let row = entry.rowSeconds[job.nextPortion] else {
            return false
        }
        return Double(job.rows(atMost: EncoderJob.fewestRows)) * row <= limit
    }

    /// The first in line.
    var current: EncoderInput? { queue.first?.input }

    private mutating func keep(_ softTokens: Tensor, of hash: ContentHash) {
        clock += 1
        kept[hash] = (softTokens, clock)
        while byteCount > byteLimit, let oldest = kept.min(by: { $0.value.lastUse < $1.value.lastUse }) {
            kept[oldest.key] = nil
        }
    }
}

extension Gemma4Model {
    fileprivate func encoderJob(_ content: EncoderInput.Content) throws -> EncoderJob {
        switch content {
        case .image(let patches): try encoderJob(patches)
        case .sound(let frames): try encoderJob(sound: frames)
        }
    }
}
