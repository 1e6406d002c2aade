import Gemma4
import Grammar
import Tokenization

/// The state of one answer, as a value: given the logits of its last position it chooses the next token.
struct Sequence: Sendable {
    let prompt: Prompt
    let options: GenerationOptions
    private(set) var generated: [Int] = []
    var statistics = GenerationStatistics()
    private var sampler: Sampler
    private var reader: AnswerReader?
    private var loops: LoopDetector?
    private var constraint: (any TokenConstraint)?
    private var closing: ThoughtClosing?
    private let tokenizer: Tokenizer?
    private let maxTokens: Int
    private let stopTokens: Set<Int>

    /// - Parameters:
    ///   - maxTokens: the maximum number of tokens, within the context length.
    ///   - stopTokens: ids that end the answer.
    ///   - grammars: the grammars of the answer and of its tool calls.
    init(
        _ prompt: Prompt, _ options: GenerationOptions, _ tokenizer: Tokenizer?, sampler: Sampler, maxTokens: Int,
        stopTokens: Set<Int>, grammars: AnswerGrammars = .init()
    ) {
        (self.prompt, self.options, self.sampler, self.maxTokens) = (prompt, options, sampler, max(1, maxTokens))
        self.stopTokens = options.endsAtStopTokens ? stopTokens : []
        reader = tokenizer.map {
            AnswerReader($0, opensThought: prompt.opensThought, stop: options.stop)
        }
        loops = options.loopGuard.map(LoopDetector.init)
        closing = tokenizer.flatMap { ThoughtClosing($0, budget: options.thinkingBudget) }
        closing?.begin(isInThought: prompt.opensThought)
        let special = tokenizer?.specialTokens
        let markers = AnswerMarkers(
            stopTokens: stopTokens,
            thought: special?["<|channel>"].flatMap { start in special?["<channel|>"].map { (start, $0) } })
        let calls = grammars.call.flatMap { matcher in
            special?["<|tool_call>"].map {
                ToolCallConstraint(
                    matcher, prompt, markers, callStart: $0, mustCall: options.toolChoice.mustCall,
                    allowsSeveral: options.parallelToolCalls)
            }
        }
        constraint =
            options.constraint ?? grammars.format.map { GrammarConstraint($0, prompt, markers, calls: calls) } ?? calls
        self.tokenizer = tokenizer
    }

    /// Tokens that can still be generated.
    var tokensLeft: Int { maxTokens - generated.count }

    /// Whether the plain argmax is chosen, so that `choose` does not need the logits.
    var isPlain: Bool { sampler.isPlain && sampler.suppressed.isEmpty && constraint?.isFree != false }

    /// - Parameters:
    ///   - likeliest: the argmax of the logits.
    ///   - logits: returns the logits of the whole vocabulary.
    /// - Returns: the next token; nil if no token can be chosen.
    mutating func choose(likeliest: Int?, _ logits: () -> [Float]) -> Int? {
        if generated.count < options.forcedTokens.count { return options.forcedTokens[generated.count] }
        if let token = closing?.tokens.first { return token }
        if isPlain { return likeliest }
        guard let constraint, var mask = constraint.allowed() else { return sampler.choose(logits()) }
        let logits = logits()
        while let token = sampler.choose(logits, allowed: mask) {
            if constraint.accepts(token) { return token }
            mask.remove(token)
        }
        return nil
    }

    /// The tokens that must follow the last one, which need no sampling. Empty if top log-probabilities are
    /// requested.
    var forcedRun: [Int] {
        guard let tokenizer, options.topLogprobs == 0 else { return [] }
        if let closing, !closing.tokens.isEmpty { return closing.tokens }
        return constraint?.forced { tokenizer.encode($0) } ?? []
    }

    /// Appends the chosen token.
    ///
    /// - Returns: the token for the stream; with `finish` if the answer is complete.
    mutating func accept(_ token: Int, logprob: Float, top: [(id: Int, logprob: Float)]) -> GeneratedToken {
        generated.append(token)
        sampler.accept(token)
        constraint?.accept(token)
        statistics.generatedTokens = generated.count
        let isStop = stopTokens.contains(token)
        let repetition = isStop ? nil : loops?.append(token)
        let isComplete = constraint?.isComplete ?? false
        let isLast = isStop || isComplete || generated.count >= maxTokens || repetition != nil
        let (kind, text, isStopped) = reader?.read(token, isLast: isLast) ?? (.answer, "", false)
        closing?.accept(token, kind, isInThought: reader?.isInThought ?? false)
        let reason: FinishReason = isStop || isComplete || isStopped ? .stop : repetition != nil ? .repetition : .length
        let response = isLast || isStopped ? reader?.response : nil
        let finish = GeneratedToken.Finish(
            reason: reason, repetition: repetition, statistics: statistics, promptTokens: prompt.tokens,
            toolCalls: response?.toolCalls ?? [],
            cutToolCall: response?.cutToolCall)
        return GeneratedToken(
            id: token, logprob: logprob, topLogprobs: top, kind: kind, text: text,
            finish: isLast || isStopped ? finish : nil)
    }
}
