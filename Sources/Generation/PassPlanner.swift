/// Decides what the next step of the engine does. A pure function: it knows no clock, no model and no cache.
///
/// Every running answer gets its next token in each step, unless its reader is behind. Beside answers prompts and towers
/// take turns in what time is left up to the bound, each in the order of priority and arrival: a few prompt tokens in a
/// pass take nearly as long as twice as many.
struct PassPlanner {
    /// The longest step, as a multiple of the time that the running answers alone would take.
    var bound = 3.0
    /// Of the time up to the bound so much is planned: single steps take longer than their kind did on average.
    private static let plannedShare = 0.8
    /// Most tokens of prompts in one step.
    var chunkLength = 512
    /// Seconds of tower work in one step at most, and in one that nobody waits for: what is asked meanwhile is heard of
    /// between steps.
    var encoderSeconds = 0.25

    /// A prompt that is not yet read, and could be read further now.
    struct Prompt: Equatable {
        let id: Int
        /// Where the next slice may end: numbers of tokens from here, ascending, of which the last is all that can be read
        /// now. Between two of them lies a stretch that must be read whole, such as a picture.
        let cuts: [Cut]

        /// A stretch that may be cut anywhere between `lowerBound` and `upperBound`, both included.
        typealias Cut = ClosedRange<Int>
    }

    struct Slice: Equatable {
        let id: Int
        let count: Int
    }

    /// What things take on this machine, as measured so far.
    struct Costs: Equatable {
        /// Seconds of a step that only decodes.
        var decodeSeconds: Double
        /// Seconds that one token of a prompt adds to a step.
        var promptTokenSeconds: Double
    }

    struct Plan: Equatable {
        var slices: [Slice] = []
        /// Seconds for the media that wait for their towers; at least one portion of the first in line is run.
        var encoderSeconds = 0.0
    }

    /// Where a newcomer stands in a line: behind all that are as urgent, before all that are less so.
    static func place(
        of priority: GenerationOptions.Priority, in line: [GenerationOptions.Priority]
    ) -> Int { line.firstIndex { $0 < priority } ?? line.count }

    /// - Parameters:
    ///   - isDecoding: whether any answer takes its next token in this step.
    ///   - prompts: in the order of their line.
    ///   - hasEncoderJob: whether a medium is to be encoded.
    ///   - step: the number of steps before.
    func plan(isDecoding: Bool, prompts: [Prompt], hasEncoderJob: Bool, step: Int, costs: Costs) -> Plan {
        var plan = Plan()
        var tokens = chunkLength
        if isDecoding {
            let spare = Self.plannedShare * (bound - 1) * costs.decodeSeconds
            if hasEncoderJob && (prompts.isEmpty || step.isMultiple(of: 2)) {
                plan.encoderSeconds = min(spare, encoderSeconds)
                return plan
            }
            tokens = Int(min(Double(chunkLength), spare / costs.promptTokenSeconds))
        } else if hasEncoderJob {
            plan.encoderSeconds = encoderSeconds
        }
        for prompt in prompts {
            // The first in line always moves on, even by a stretch that is longer than there is time for.
            guard let count = Self.longest(prompt.cuts, within: tokens, isFirst: plan.slices.isEmpty) else { break }
            plan.slices.append(Slice(id: prompt.id, count: count))
            tokens -= count
            if tokens <= 0 { break }
        }
        return plan
    }

    /// The longest slice of at most `limit` tokens; the shortest there is for the first in line; else nil.
    private static func longest(_ cuts: [Prompt.Cut], within limit: Int, isFirst: Bool) -> Int? {
        let fitting = cuts.last { $0.lowerBound <= limit }.map { min($0.upperBound, limit) }
        return fitting ?? (isFirst ? cuts.first.map(\.lowerBound) : nil)
    }
}
