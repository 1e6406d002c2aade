import Gemma4Kit
import Generation
import JSONText
import Tokenization

/// Prints answers: as streamed text, or as one JSON object when complete.
struct AnswerPrinter {
    let format: OutputFormat
    /// Destination; nil prints nothing.
    var output: ByteSink? = .standardOutput
    /// Destination of warnings, thoughts and log-probabilities.
    var errors = ByteSink.standardError
    /// Additional members of a JSON object.
    var extra: [JSONValue.Member] = []
    /// Lists the log-probability of every token on standard error after the text.
    var showsLogprobs = false
    /// Prints thoughts to standard error, dimmed on a terminal.
    var showsThoughts = false
    /// Prints tool calls after the text, one JSON object per line.
    var showsToolCalls = true
    /// Warns if the answer is truncated; not if the caller chose the length.
    var warnsOfLength = true
    /// Whether the answer is constrained to a format, which a truncated answer violates.
    var hasFormat = false

    /// - Parameters:
    ///   - file: the file that the answer is about; nil if it is not a single file.
    ///   - isLabelled: whether text begins with the name of the file.
    /// - Throws: errors of the stream; `CommandError` if the output cannot be written.
    @discardableResult
    func print(
        _ stream: TokenStream, of pipeline: Gemma4Pipeline, about file: String? = nil, isLabelled: Bool = false,
        progress: ProgressLine
    ) async throws -> Answer {
        defer { progress.end() }
        progress.begin()
        let streamsToTerminal = format == .text && output?.isTerminal == true
        let label = isLabelled ? file.map { "\($0.displayed): " } ?? "" : ""
        var answer = Answer()
        var text = TextLine(label: label, output: output)
        var thoughts = DimmedText(isShown: showsThoughts && format == .text, errors)
        for try await token in stream {
            answer.append(token)
            if !streamsToTerminal { progress.show(written: answer.tokens.count) }
            guard format == .text, !token.text.isEmpty else { continue }
            switch token.kind {
            case .answer:
                if streamsToTerminal { progress.end() }
                thoughts.end()
                try text.write(token.text)
            case .thought:
                if thoughts.isShown { progress.end() }
                thoughts.write(token.text)
            case .toolCall, .control: break
            }
        }
        // A cancelled stream ends without an error, and its answer is incomplete.
        try Task.checkCancellation()
        progress.end()
        thoughts.end()
        switch format {
        case .json: try output?.write(object(answer, about: file).json + "\n")
        case .text:
            for call in showsToolCalls ? answer.finish?.toolCalls ?? [] : [] {
                try text.writeLine(Self.object(call).json)
            }
            // No empty line for an answer that consists only of calls that are shown elsewhere.
            if showsToolCalls || !answer.text.isEmpty || answer.finish?.toolCalls.isEmpty != false { try text.end() }
            if showsLogprobs { list(answer, pipeline.tokenizer) }
            warn(answer, label)
        }
        return answer
    }

    private func warn(_ answer: Answer, _ label: String) {
        let warning: String? =
            switch answer.finish?.reason {
            case .length where hasFormat:
                "the answer was cut off after \(answer.tokens.count) tokens and may not obey what was asked for; --max-tokens makes room"
            case .repetition where hasFormat:
                "the answer went round in a circle, was ended and may not obey what was asked for; --no-loop-guard lets it go on"
            case .length where warnsOfLength:
                "the answer was cut off after \(AnswerArguments.defaultMaxTokens) tokens; --max-tokens makes room"
            case .repetition: "the answer went round in a circle and was ended; --no-loop-guard lets it go on"
            case .length, .stop, nil: nil
            }
        if answer.finish?.cutToolCall != nil {
            errors.report("warning: \(label)a call of a tool was cut off and is left out")
        }
        if let warning { errors.report("warning: \(label)\(warning)") }
    }

    // MARK: JSON

    func object(_ answer: Answer, about file: String?) -> JSONValue {
        .object(Self.members(answer, file: file) + extra)
    }

    private static func members(_ answer: Answer, file: String?) -> [JSONValue.Member] {
        var members: [JSONValue.Member] = []
        if let file { members.append(.init("file", .string(file))) }
        members += [
            .init("prompt_tokens", .array((answer.finish?.promptTokens ?? []).map(JSONValue.integer))),
            .init("tokens", .array(answer.tokens.map(JSONValue.integer))),
            .init("logprobs", .array(answer.logprobs.map { .number(Double($0)) })),
            .init("text", .string(answer.text)),
        ]
        if !answer.thoughts.isEmpty { members.append(.init("thoughts", .string(answer.thoughts))) }
        if let finish = answer.finish {
            if !finish.toolCalls.isEmpty { members.append(.init("tool_calls", .array(finish.toolCalls.map(object)))) }
            if let call = finish.cutToolCall { members.append(.init("cut_tool_call", .string(call))) }
            members.append(.init("finish_reason", .string(finish.reason.rawValue)))
            members.append(.init("timings", object(finish.statistics)))
        }
        return members
    }

    private static func object(_ call: ChatMessage.ToolCall) -> JSONValue {
        ["name": .string(call.name), "arguments": call.arguments]
    }

    private static func object(_ statistics: GenerationStatistics) -> JSONValue {
        func rounded(_ value: Double) -> JSONValue { .number((value * 1e6).rounded() / 1e6) }
        return [
            "cached_tokens": .integer(statistics.cachedTokens),
            "encode_seconds": rounded(statistics.encodeSeconds),
            "prefill_seconds": rounded(statistics.prefillSeconds),
            "decode_seconds": rounded(statistics.decodeSeconds),
            "prefill_tokens_per_second": rounded(statistics.prefillTokensPerSecond),
            "decode_tokens_per_second": rounded(statistics.decodeTokensPerSecond),
        ]
    }

    // MARK: Log-probabilities

    private func list(_ answer: Answer, _ tokenizer: Tokenizer) {
        for (token, logprob) in zip(answer.tokens, answer.logprobs) {
            try? errors.write(TokenRow(token, logprob, tokenizer).text)
        }
    }
}

/// Text that ends with exactly one line break.
private struct TextLine {
    let label: String
    let output: ByteSink?
    private var hasBegun = false
    private var endsLine = false

    init(label: String, output: ByteSink?) { (self.label, self.output) = (label, output) }

    mutating func write(_ text: String) throws(CommandError) {
        try output?.write(hasBegun ? text : label + text)
        hasBegun = true
        endsLine = text.hasSuffix("\n")
    }

    /// Writes text on a separate line.
    mutating func writeLine(_ text: String) throws(CommandError) {
        try write(hasBegun && !endsLine ? "\n\(text)\n" : "\(text)\n")
    }

    mutating func end() throws(CommandError) {
        if !endsLine { try write("\n") }
    }
}

/// Dimmed text on standard error.
private struct DimmedText {
    let isShown: Bool
    private let errors: ByteSink
    private var isOpen = false
    private var endsLine = false

    init(isShown: Bool, _ errors: ByteSink) { (self.isShown, self.errors) = (isShown, errors) }

    mutating func write(_ text: String) {
        guard isShown else { return }
        isOpen = true
        endsLine = text.hasSuffix("\n")
        try? errors.write(errors.erasesLines ? "\u{1b}[2m\(text)\u{1b}[0m" : text)
    }

    mutating func end() {
        if isOpen, !endsLine { try? errors.write("\n") }
        isOpen = false
    }
}
