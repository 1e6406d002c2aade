import Gemma4
import Tensors

/// One request in the engine.
///
/// `@unchecked Sendable`: created by the caller and then accessed only on the engine's executor; threads that sample
/// tokens each access a different one.
final class Work: @unchecked Sendable {
    enum Goal {
        case answer(
            GenerationOptions, ResultChannel<GeneratedToken>,
            onEnd: (@Sendable (Result<Answer, any Error>) -> Void)?)
        case logits(@Sendable (Range<Int>, Tensor) throws -> Void, @Sendable (Result<Void, any Error>) -> Void)
        case encoding([EncoderInput], @Sendable (Result<Void, any Error>) -> Void)
    }

    let goal: Goal
    var isOver = false
    private(set) var id = 0
    private(set) var prompt = Prompt(tokens: [])
    var sequence: Sequence?
    /// Upper bound of the bytes of its keys and values.
    var byteCount = 0
    var cache: KVCache?
    /// Prompt tokens that are in the cache.
    private(set) var read = 0
    /// The chosen tokens that are not in the cache yet: the last one, and forced tokens before it.
    private(set) var nextTokens: [Int] = []
    /// The grammars that constrain the answer.
    var grammars = AnswerGrammars()
    private var lookup: PromptLookup?
    /// Draft tokens that the current pass verifies.
    private(set) var guesses: [Int] = []
    /// Positions at which other prompts diverge from this one; a fork is kept there for later prompts.
    private var checkpoints: Set<Int> = []
    private var found = 0
    /// The last work that had come when this one had its first token.
    var lastArrival: Int?
    /// Whether a token of the answer has been read.
    private var hasGoneOn = false
    private var answer = Answer()
    private let clock = ContinuousClock()
    private var arrival = ContinuousClock.now
    private var start = ContinuousClock.now
    private var firstToken = ContinuousClock.now

    init(_ goal: Goal) { self.goal = goal }

    func begin(_ prompt: Prompt, id: Int) { (self.prompt, self.id, arrival) = (prompt, id, clock.now) }

    /// Admits the request, with the cached prefix of its prompt.
    func start(_ match: PrefixCache.Match, _ makeCache: () -> KVCache) {
        cache = match.cache ?? makeCache()
        (read, found) = (match.usable, match.usable)
        sequence?.statistics.cachedTokens = found
        sequence?.statistics.promptTokens = prompt.tokens.count - found
        // A common prefix that no cache could provide: keep it for later prompts.
        if match.common >= match.usable + 16 { keepCheckpoint(at: match.common) }
        if sequence?.options.draft == .lookup { lookup = PromptLookup(prompt.tokens) }
        start = clock.now
    }

    // MARK: Goal

    var wantsEveryRow: Bool { if case .logits = goal { true } else { false } }
    var keepsCache: Bool { if case .answer(let options, _, _) = goal { options.keepsCache } else { false } }
    var priority: GenerationOptions.Priority {
        if case .answer(let options, _, _) = goal { options.priority } else { .interactive }
    }
    var topLogprobs: Int { sequence?.options.topLogprobs ?? 0 }
    var isRead: Bool { read == prompt.tokens.count }
    var isReaderBehind: Bool { if case .answer(_, let channel, _) = goal { channel.isFull } else { false } }
    var secondsSinceArrival: Double { arrival.duration(to: clock.now).inSeconds }

    /// Whether an answer that has its first token only waits until prompts that arrived before that token are prefilled,
    /// because their priority is not lower. At most two seconds, and once.
    func waits(for others: [Work]) -> Bool {
        guard !hasGoneOn, let lastArrival, firstToken.duration(to: clock.now) < .seconds(2) else { return false }
        return others.contains { other in
            guard other.id <= lastArrival, other.priority >= priority, !other.isRead else { return false }
            return other.slices(readsImagesWhole: false) != nil
        }
    }

    /// Whether its goal is soft tokens, and all of them are available.
    var isEncoded: Bool {
        if case .encoding(let inputs, _) = goal { inputs.allSatisfy { $0.softTokens != nil } } else { false }
    }

    func wants(_ input: EncoderInput) -> Bool {
        if case .encoding(let inputs, _) = goal { return inputs.contains { $0 === input } }
        return prompt.media.contains { $0.input === input && $0.positions.upperBound > read }
    }

    /// The units that the cache holds.
    var units: ArraySlice<PromptUnit> {
        let length = cache?.length ?? 0
        guard length > prompt.units.count else { return prompt.units[..<length] }
        let generated = sequence!.generated.prefix(length - prompt.units.count)
        return (prompt.units + generated.map(PromptUnit.token))[...]
    }

    /// The length of the prefix shared with `other` that this one is about to prefill, if it exceeds the `common`
    /// prefix that a cache already has by at least 32.
    func unitsToShare(with other: Work, beyond common: Int) -> Int? {
        guard !isRead, case .answer = goal else { return nil }
        let shared = min(prompt.units.commonPrefixCount(other.prompt.units), other.prompt.units.count - 1)
        return shared >= max(common, read) + 32 ? shared : nil
    }

    /// Keeps a fork of the cache for another prompt once `position` tokens have been prefilled.
    func keepCheckpoint(at position: Int) {
        if position > read && position < prompt.tokens.count { checkpoints.insert(position) }
    }

    // MARK: Rows of a pass

    /// The possible next slices of the prompt; nil if none.
    func slices(readsImagesWhole: Bool) -> PassPlanner.Prompt? {
        var end = prompt.tokens.count
        if let missing = prompt.media.first(where: { $0.positions.upperBound > read && $0.input.softTokens == nil }) {
            end = missing.positions.lowerBound
        }
        if let checkpoint = checkpoints.filter({ $0 > read }).min() { end = min(end, checkpoint) }
        guard end > read else { return nil }
        var cuts: [ClosedRange<Int>] = []
        var first = 1
        if readsImagesWhole {
            for (positions, input) in prompt.media where input.isImage && positions.upperBound > read {
                guard positions.lowerBound < end else { break }
                if positions.lowerBound - read >= first { cuts.append(first...positions.lowerBound - read) }
                first = positions.upperBound - read
            }
        }
        if end - read >= first { cuts.append(first...end - read) }
        return cuts.isEmpty ? nil : PassPlanner.Prompt(id: id, cuts: cuts)
    }

    /// The next `count` tokens of the prompt.
    func input(_ count: Int, wanted rows: Range<Int>) -> Gemma4Model.Input {
        let positions = read..<read + count
        let soft = prompt.media(in: positions).map { medium in
            let shared = medium.positions.clamped(to: positions)
            let first = shared.lowerBound - medium.positions.lowerBound
            return medium.input.softTokens![first..<first + shared.count]
        }
        return Gemma4Model.Input(
            tokens: Array(prompt.tokens[positions]), softTokens: soft.isEmpty ? nil : .concatenated(soft),
            wantedRows: Array(rows), cache: cache!)
    }

    /// Records that `count` prompt tokens have been prefilled.
    func advance(_ count: Int, checkpoint prefixes: inout PrefixCache) {
        read += count
        sequence?.options.onPrefill?(read - found, prompt.tokens.count - found)
        // The next turn may render the text after the prompt differently, for example without its thoughts.
        if checkpoints.remove(read) != nil || (isRead && keepsCache) {
            prefixes.insert(Array(prompt.units[..<read]), cache!.fork())
        }
    }

    /// Proposes draft tokens after the chosen tokens.
    ///
    /// - Parameter isPlaceholder: whether a token is a placeholder of media, which is never drafted.
    func guess(
        _ speculation: inout Speculation, seconds: (_ rows: Int) -> Double, isPlaceholder: (Int) -> Bool
    ) {
        guard let lookup, let sequence else { return }
        // The last token of an answer is never fed back.
        let candidates = lookup.guesses(min(Speculation.mostGuesses, sequence.tokensLeft - 1)).prefix {
            !isPlaceholder($0)
        }
        guard !candidates.isEmpty else { return }
        let count = speculation.add(most: candidates.count, acceptance: lookup.acceptance, seconds: seconds)
        guesses = Array(candidates.prefix(count))
        self.sequence!.statistics.draftedTokens += count
    }

    /// The tokens of the next pass: the chosen ones, then the draft tokens.
    var tokensToRead: [Int] { nextTokens + guesses }

    /// Records that the chosen tokens are in the cache.
    func advanceAnswer() {
        nextTokens.removeAll(keepingCapacity: true)
        hasGoneOn = true
    }

    /// Truncates the draft tokens from `count`; those before were accepted and are already in the cache.
    func keepGuesses(_ count: Int) {
        let kept = cache!.truncate(to: cache!.length - guesses.count + count)
        precondition(kept, "Work: more guesses than a cache can take back")
        nextTokens.removeFirst(count)
        guesses = []
    }

    // MARK: Results

    /// Appends the next token.
    ///
    /// - Returns: whether the answer is complete.
    func accept(_ token: Int, logprob: Float, top: [(id: Int, logprob: Float)]) -> Bool {
        guard case .answer(_, let channel, let onEnd) = goal else { return true }
        let now = clock.now
        if sequence!.generated.isEmpty {
            sequence!.statistics.prefillSeconds = start.duration(to: now).inSeconds
            firstToken = now
        }
        sequence!.statistics.decodeSeconds = firstToken.duration(to: now).inSeconds
        nextTokens.append(token)
        lookup?.append(token)
        let generated = sequence!.accept(token, logprob: logprob, top: top)
        if onEnd != nil { answer.append(generated) }
        channel.yield(generated)
        return generated.finish != nil
    }

    func finish(_ result: Result<Void, any Error>) {
        switch goal {
        case .answer(_, let channel, let onEnd):
            onEnd?(result.map { answer })
            if case .failure(let error) = result { channel.finish(throwing: error) } else { channel.finish() }
        case .logits(_, let onEnd), .encoding(_, let onEnd): onEnd(result)
        }
    }
}
