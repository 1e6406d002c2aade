import Gemma4Kit
import Generation

/// One request for answers, independent of the API.
struct AnswerRequest: Sendable {
    var messages: [ChatMessage] = []
    var prompt = PromptOptions()
    var generation = GenerationOptions()
    /// Number of answers to the prompt.
    var count = 1
    var isStreamed = false

    /// The sampling options that OpenAI's APIs share, and common extensions.
    ///
    /// - Parameter defaults: the values of missing options.
    init(
        _ fields: RequestFields, _ options: ServerOptions, sampling defaults: SamplingOptions,
        maxTokens names: [String]
    ) throws(WireError) {
        var sampling = defaults
        sampling.temperature = try fields.number("temperature", in: 0...100).map { Float($0) } ?? sampling.temperature
        sampling.topP = try fields.number("top_p", in: 0...1).map { Float($0) } ?? sampling.topP
        sampling.topK = try fields.integer("top_k", in: -1...(.max)).map { max(0, $0) } ?? sampling.topK
        sampling.minP = try fields.number("min_p", in: 0...1).map { Float($0) } ?? sampling.minP
        sampling.presencePenalty = try fields.number("presence_penalty", in: -2...2).map { Float($0) } ?? 0
        sampling.frequencyPenalty = try fields.number("frequency_penalty", in: -2...2).map { Float($0) } ?? 0
        sampling.repetitionPenalty =
            try fields.number("repetition_penalty", in: 0.01...100).map { Float($0) } ?? sampling.repetitionPenalty
        sampling.seed = try fields.integer("seed", in: .min...(.max)).map { UInt64(bitPattern: Int64($0)) }
        sampling.logitBias = try Self.logitBias(fields)
        generation.sampling = sampling
        generation.stop = try fields.strings("stop")
        guard generation.stop.count <= 16 else { throw fields.error("stop", "at most 16 strings") }
        let limit = options.maxTokens ?? .max
        generation.maxTokens = min(options.defaultMaxTokens, limit)
        for name in names { generation.maxTokens = try fields.integer(name, in: 1...limit) ?? generation.maxTokens }
        count = try fields.integer("n", in: 1...128) ?? 1
        isStreamed = try fields.flag("stream") ?? false
        if try fields.string("service_tier") == "flex" { generation.priority = .batch }
        prompt.maxImagePixels = options.imagePixels
        prompt.maxAudioSeconds = options.recordingSeconds
        if try fields.flag("ignore_eos") == true { generation.endsAtStopTokens = false }
    }

    /// Parses an object with token ids as keys.
    private static func logitBias(_ fields: RequestFields) throws(WireError) -> [Int: Float] {
        guard case .object(let members)? = try fields.object("logit_bias")?.value else { return [:] }
        var biases: [Int: Float] = [:]
        for member in members {
            guard let id = Int(member.key), let bias = member.value.double, (-100...100).contains(bias) else {
                throw fields.error("logit_bias", "ids of tokens with numbers from -100 to 100")
            }
            // OpenAI's convention: -100 bans a token.
            biases[id] = bias == -100 ? -.infinity : Float(bias)
        }
        return biases
    }

    /// The tools of OpenAI's APIs, and which of them may be called.
    mutating func readTools(_ fields: RequestFields) throws(WireError) {
        prompt.tools = try fields.array("tools") ?? []
        switch fields["tool_choice"] {
        case nil, .string("auto")?: break
        case .string("none")?: generation.toolChoice = .none
        case .string("required")?: try require(.required, fields)
        default:
            let expected = #""none", "auto", "required" or {"type": "function", "function": {"name": …}}"#
            guard case .object? = fields["tool_choice"], let choice = try fields.object("tool_choice"),
                try choice.string("type") == "function",
                // Within `function`, or beside the type as in the Responses API.
                let name = try (choice.object("function") ?? choice).string("name")
            else { throw fields.error("tool_choice", expected) }
            try require(.named(name), fields)
        }
        generation.parallelToolCalls = try fields.flag("parallel_tool_calls") ?? true
        try fields.refuse("functions", because: "no longer part of the interface; use tools")
        try fields.refuse("function_call", except: "none", because: "no longer part of the interface; use tool_choice")
    }

    /// Requires a call.
    ///
    /// - Throws: if there is no such tool.
    mutating func require(_ choice: ToolChoice, _ fields: RequestFields) throws(WireError) {
        let names = prompt.tools.compactMap { $0["function"]?["name"]?.string }
        var isThere = !names.isEmpty
        if case .named(let name) = choice { isThere = names.contains(name) }
        guard isThere else {
            throw fields.error(
                "tool_choice",
                names.isEmpty
                    ? "\"auto\" or \"none\" without tools" : "one of the tools \(names.joined(separator: ", "))")
        }
        generation.toolChoice = choice
    }

    /// The reasoning effort: thinking can only be turned on or off.
    mutating func readEffort(_ fields: RequestFields?, _ name: String, _ options: ServerOptions) throws(WireError) {
        prompt.thinking = options.thinking
        switch try fields?.string(name) {
        case nil: break
        case "none"?, "minimal"?: prompt.thinking = false
        case "low"?, "medium"?, "high"?, "xhigh"?: prompt.thinking = true
        default: throw fields!.error(name, "none, minimal, low, medium, high or xhigh")
        }
    }

    /// `text`, `json_object` or `json_schema`.
    mutating func readFormat(_ format: RequestFields?) throws(WireError) {
        guard let format else { return }
        switch try format.string("type") {
        case nil, "text"?: return
        case "json_object"?: generation.format = .schema(["type": "object"])
        case "json_schema"?:
            // Within `json_schema`, or beside the type as in the Responses API.
            guard let schema = (try format.object("json_schema") ?? format)["schema"] else {
                throw format.error("json_schema", "an object with a schema")
            }
            generation.format = .schema(schema)
        default: throw format.error("type", #""text", "json_object" or "json_schema""#)
        }
    }
}
