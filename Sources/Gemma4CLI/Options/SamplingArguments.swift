import ArgumentParser
import Gemma4Kit
import Generation

/// Length and sampling of an answer. Each flag overrides one default.
struct SamplingArguments: ParsableArguments {
    @OptionGroup var answer: AnswerArguments
    @OptionGroup var answerFormat: AnswerFormatArguments

    @Option(help: ArgumentHelp("0 takes the likeliest token.", valueName: "t"))
    var temperature: Float?

    @Option(help: ArgumentHelp("Keep the k likeliest tokens; 0 keeps all.", valueName: "k"))
    var topK: Int?

    @Option(help: ArgumentHelp("Keep the likeliest tokens that sum up to p.", valueName: "p"))
    var topP: Float?

    @Option(help: ArgumentHelp("Keep tokens of at least p times the best one's.", valueName: "p", visibility: .hidden))
    var minP: Float?

    @Option(help: ArgumentHelp("Above 1 avoids tokens used before.", valueName: "r", visibility: .hidden))
    var repetitionPenalty: Float?

    @Option(help: ArgumentHelp("Above 0 avoids tokens of the answer.", valueName: "x", visibility: .hidden))
    var presencePenalty: Float?

    @Option(
        help: ArgumentHelp(
            "Above 0 avoids them the more, the more often they occur.", valueName: "x", visibility: .hidden))
    var frequencyPenalty: Float?

    @Option(help: ArgumentHelp("End before this text; may be repeated.", valueName: "text"))
    var stop: [String] = []

    @Option(
        help: ArgumentHelp(
            "Guess tokens that the prompt or the answer holds already, and verify several at once: the same answer, "
                + "sooner where it repeats.", valueName: "lookup", visibility: .hidden))
    var draft: GenerationOptions.Draft?

    @Option(help: ArgumentHelp("The same seed gives the same answer.", valueName: "n"))
    var seed: UInt64?

    func validate() throws {
        try Self.expect("--temperature", temperature, "0 or more") { $0 >= 0 && $0.isFinite }
        try Self.expect("--top-k", topK, "0 or more") { $0 >= 0 }
        try Self.expect("--top-p", topP, "0 to 1") { (0...1).contains($0) }
        try Self.expect("--min-p", minP, "0 to 1") { (0...1).contains($0) }
        try Self.expect("--repetition-penalty", repetitionPenalty, "more than 0") { $0 > 0 && $0.isFinite }
        try Self.expect("--presence-penalty", presencePenalty, "-2 to 2") { (-2...2).contains($0) }
        try Self.expect("--frequency-penalty", frequencyPenalty, "-2 to 2") { (-2...2).contains($0) }
        if stop.contains("") { throw ValidationError("--stop: expected a text, found none") }
    }

    var maxTokens: Int? { answer.maxTokens }

    /// - Parameters:
    ///   - defaults: the values without flags. If they are greedy, a flag that restricts sampling enables it, at
    ///     temperature 1.
    ///   - format: the format that `answerFormat` selects.
    func options(
        over defaults: SamplingOptions, format: AnswerFormat?, progress: ProgressLine
    ) -> GenerationOptions {
        var sampling = defaults
        let narrows = topK != nil || topP != nil || minP != nil
        sampling.temperature = temperature ?? (narrows && defaults.temperature == 0 ? 1 : defaults.temperature)
        sampling.topK = topK ?? defaults.topK
        sampling.topP = topP ?? defaults.topP
        sampling.minP = minP ?? defaults.minP
        sampling.repetitionPenalty = repetitionPenalty ?? defaults.repetitionPenalty
        sampling.presencePenalty = presencePenalty ?? defaults.presencePenalty
        sampling.frequencyPenalty = frequencyPenalty ?? defaults.frequencyPenalty
        sampling.seed = seed ?? defaults.seed
        var options = answer.options(loopGuard: .init())
        options.sampling = sampling
        options.format = format
        options.stop = stop
        options.draft = draft
        options.onPrefill = { progress.show(read: $0, of: $1) }
        return options
    }

    private static func expect<Value>(
        _ flag: String, _ value: Value?, _ range: String, _ isInRange: (Value) -> Bool
    ) throws {
        if let value, !isInRange(value) { throw ValidationError("\(flag): expected \(range), found \(value)") }
    }
}

extension GenerationOptions.Draft: ExpressibleByArgument {}
