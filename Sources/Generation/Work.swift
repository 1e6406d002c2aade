import Gemma4
import Tensors

/// One request on its way through the engine.
///
/// `@unchecked Sendable`: made by whoever asks, and from then on touched on the engine's executor only; threads of a pass
/// that choose tokens each touch another one.
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
    /// Bytes that its keys and values take at most.
    var byteCount = 0
    var cache: KVCache?
    /// Tokens of the prompt that are in the cache.
    private(set) var read = 0
    /// The chosen tokens that are not in the cache yet: the last one, and those before it that the model was not asked for.
    private(set) var nextTokens: [Int] = []
    /// What the answer must obey.
    var grammars = AnswerGrammars()
    private var lookup: PromptLookup?
    /// Guesses that the current pass verifies.
    private(set) var guesses: [Int] = []
    /// Positions at which other prompts have begun to differ from this one: a fork is kept there for the next.
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

    /// Admits it, with what a cache has of its prompt.
    func start(_ match: PrefixCache.Match, _ makeCache: () -> KVCache) {
        cache = match.cache ?? makeCache()
        (read, found) = (match.usable, match.usable)
        sequence?.statistics.cachedTokens = found
        sequence?.statistics.promptTokens = prompt.tokens.count - found
        // Equal units that no cache could give: the next prompt of this kind shall find them.
        if match.common >= match.usable + 16 { keepCheckpoint(at: match.common) }
        if sequence?.options.draft == .lookup { lookup = PromptLookup(prompt.tokens) }
        start = clock.now
    }

    // MARK: What it wants

    var wantsEveryRow: Bool { if case .logits = goal { true } else { false } }
    var keepsCache: Bool { if case .answer(let options, _, _) = goal { options.keepsCache } else { false } }
    var priority: GenerationOptions.Priority {
        if case .answer(let options, _, _) = goal { options.priority } else { .interactive }
    }
    var topLogprobs: Int { sequence?.options.topLogprobs ?? 0 }
    var isRead: Bool { read == prompt.tokens.count }
    var isReaderBehind: Bool { if case .answer(_, let channel, _) = goal { channel.isFull } else { false } }
    var secondsSinceArrival: Double { arrival.duration(to: clock.now).inSeconds }

    /// Whether an answer of one token waits for prompts that came before that token: they are about to be read, and are no
    /// less urgent. For two seconds at most, and never again.
    func waits(for others: [Work]) -> Bool {
        guard !hasGoneOn, let lastArrival, firstToken.duration(to: clock.now) < .seconds(2) else { return false }
        return others.contains { other in
            guard other.id <= lastArrival, other.priority >= priority, !other.isRead else { return false }
            return other.slices(readsImagesWhole: false) != nil
        }
    }

    /// Whether all it wants is soft tokens, and they are there.
    var isEncoded: Bool {
        if case .encoding(let inputs, _) = goal { inputs.allSatisfy { $0.softTokens != nil } } else { false }
    }

    func wants(_ input: EncoderInput) -> Bool {
        if case .encoding(let inputs, _) = goal { return inputs.contains { $0 === input } }
        return prompt.media.contains { $0.input === input && $0.positions.upperBound > read }
    }

    /// What the cache holds.
    var units: ArraySlice<PromptUnit> {
        let length = cache?.length ?? 0
        guard length > prompt.units.count else { return prompt.units[..<length] }
        let generated = sequence!.generated.prefix(length - prompt.units.count)
        return (prompt.units + generated.map(PromptUnit.token))[...]
    }

    /// How many units `other` begins with that this one is about to read, if they are clearly more than the `common` ones
    /// that a cache has.
    func unitsToShare(with other: Work, beyond common: Int) -> Int? {
        guard !isRead, case .answer = goal else { return nil }
        let shared = min(prompt.units.commonPrefixCount(other.prompt.units), other.prompt.units.count - 1)
        return shared >= max(common, read) + 32 ? shared : nil
    }

    /// Keeps a fork of the cache for another prompt once `position` tokens have been read.
    func keepCheckpoint(at position: Int) {
        if position > read && position < prompt.tokens.count { checkpoints.insert(position) }
    }

    // MARK: Its share of a pass

    /// The slices of the prompt that could be read now; nil if none.
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

    /// `count` tokens of the prompt have been read.
    func advance(_ count: Int, checkpoint prefixes: inout PrefixCache) {
        read += count
        sequence?.options.onPrefill?(read - found, prompt.tokens.count - found)
        // What follows the prompt may be told otherwise in the next turn, without its thoughts for example.
        if checkpoints.remove(read) != nil || (isRead && keepsCache) {
            prefixes.insert(Array(prompt.units[..<read]), cache!.fork())
        }
    }

    /// Guesses what follows the chosen tokens.
    ///
    /// - Parameter isPlaceholder: of a token that stands for media, which no answer repeats.
    func guess(
        _ speculation: inout Speculation, seconds: (_ rows: Int) -> Double, isPlaceholder: (Int) -> Bool
    ) {
        guard let lookup, let sequence else { return }
        // The last token of an answer is never read.
        let candidates = lookup.guesses(min(Speculation.mostGuesses, sequence.tokensLeft - 1)).prefix {
            !isPlaceholder($0)
        }
        guard !candidates.isEmpty else { return }
        let count = speculation.add(most: candidates.count, acceptance: lookup.acceptance, seconds: seconds)
        guesses = Array(candidates.prefix(count))
        self.sequence!.statistics.draftedTokens += count
    }

    /// The tokens that a pass reads: the chosen ones, then the guesses.
    var tokensToRead: [Int] { nextTokens + guesses }

    /// The chosen tokens have been read.
    func advanceAnswer() {
        nextTokens.removeAll(keepingCapacity: true)
        hasGoneOn = true
    }

    /// Takes back the guesses from `count` on; those before were right, and are in the cache already.
    func keepGuesses(_ count: Int) {
        let kept = cache!.truncate(to: cache!.length - guesses.count + count)
        precondition(kept, "Work: more guesses than a cache can take back")
        nextTokens.removeFirst(count)
        guesses = []
    }

    // MARK: Results

    /// Takes the token that follows.
    ///
    /// - Returns: whether the answer is over.
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
