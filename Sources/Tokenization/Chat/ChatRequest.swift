import Foundation
import JSONText

/// A conversation and its generation options as other programs pass them: a list of messages, or a request object of
/// OpenAI's or Ollama's chat API.
///
/// An option that is not supported is refused by name. Keys about the delivery of the answer (`model`, `stream`,
/// `user`) are ignored.
package struct ChatRequest: Sendable, Equatable {
    package var messages: [ChatMessage]
    /// `{"type": "function", "function": {"name": …, "description": …, "parameters": …}}` each.
    package var tools: [JSONValue] = []
    package var toolChoice = ToolChoice.auto
    package var parallelToolCalls = true
    package var temperature, topP, minP, repetitionPenalty, presencePenalty, frequencyPenalty: Double?
    /// Stop strings.
    package var stop: [String] = []
    package var topK, maxTokens, seed: Int?
    package var thinking: Bool?
    /// The JSON Schema of the answer: `response_format`, or Ollama's `format`.
    package var answerSchema: JSONValue?
    /// Whether to continue the last message, which is an assistant's.
    package var continueFinalMessage: Bool?

    package init(messages: [ChatMessage]) { self.messages = messages }

    /// - Throws: `ChatError` naming the message and the key, or line and column if the text is not valid JSON.
    package init(json data: Data) throws(ChatError) {
        let value: JSONValue
        do {
            value = try JSONValue(parsing: Array(data))
        } catch {
            throw ChatError(
                .invalidJSON, key: "line \(error.line), column \(error.column)", expected: error.expected,
                found: error.found)
        }
        guard case .object = value else {
            self.init(messages: try ChatMessage.parse(value))
            return
        }
        let reader = KeyReader(value, message: nil, key: "")
        guard let conversation = value["messages"] else {
            throw ChatError(
                .invalidValue, key: "the conversation",
                expected: #"an array of messages, or an object with "messages""#,
                found: value.summary, remedy: #"Write [{"role": "user", "content": "…"}]."#)
        }
        self.init(messages: try ChatMessage.parse(conversation))
        try reader.refuseOthers([
            "messages", "tools", "tool_choice", "parallel_tool_calls", "model", "stream", "stream_options", "user",
            "store", "metadata", "service_tier", "keep_alive", "logprobs", "temperature", "top_p", "top_k", "min_p",
            "seed", "max_tokens", "max_completion_tokens", "repetition_penalty", "think", "options", "n",
            "frequency_penalty", "presence_penalty", "response_format", "format", "continue_final_message",
            "chat_template_kwargs", "stop",
        ])
        for tool in try reader.array("tools") { tools.append(tool.value ?? .null) }
        try readToolChoice(reader["tool_choice"])
        parallelToolCalls = try reader.flag("parallel_tool_calls") ?? true
        try readSampling(reader, maxTokens: ["max_tokens", "max_completion_tokens"], penalty: "repetition_penalty")
        let options = reader["options"]
        if options.value != nil, options.value != .null {
            try options.refuseOthers([
                "temperature", "top_p", "top_k", "min_p", "seed", "num_predict", "repeat_penalty", "num_ctx",
                "num_thread", "presence_penalty", "frequency_penalty", "stop",
            ])
            try readSampling(options, maxTokens: ["num_predict"], penalty: "repeat_penalty")
        }
        let template = reader["chat_template_kwargs"]
        try template.refuseOthers(["enable_thinking"])
        thinking = try reader.flag("think")
        if let flag = try template.flag("enable_thinking") { thinking = flag }
        continueFinalMessage = try reader.flag("continue_final_message")
        try reader.expect("n", 1)
        answerSchema = try Self.schema(ollama: reader["format"])
        if let schema = try Self.schema(openAI: reader["response_format"]) { answerSchema = schema }
    }

    private static func schema(openAI format: KeyReader) throws(ChatError) -> JSONValue? {
        switch try format.string("type") {
        case nil, "text"?: return nil
        case "json_object"?: return ["type": "object"]
        case "json_schema"?:
            guard let schema = format["json_schema"]["schema"].value else {
                throw format["json_schema"].error(.invalidValue, "schema", expected: "a JSON Schema")
            }
            return schema
        default: throw format.error(.invalidValue, "type", expected: #""text", "json_object" or "json_schema""#)
        }
    }

    private static func schema(ollama format: KeyReader) throws(ChatError) -> JSONValue? {
        switch format.value {
        case nil, .null?, .string("")?: return nil
        case .string("json")?: return ["type": "object"]
        case let schema? where schema.string == nil: return schema
        default: throw format.error(.invalidValue, expected: #""json" or a JSON Schema"#)
        }
    }

    private mutating func readToolChoice(_ choice: KeyReader) throws(ChatError) {
        let names = tools.compactMap { $0["function"]?["name"]?.string }
        switch choice.value {
        case nil, .null?, .string("auto")?: return
        case .string("none")?: toolChoice = .none
        case .string("required")?:
            guard !tools.isEmpty else {
                throw choice.error(
                    .invalidValue, expected: #""auto" or "none" without tools"#, remedy: "Declare functions in tools.")
            }
            toolChoice = .required
        case .object?:
            try choice.refuseOthers(["type", "function"])
            guard try choice.requiredString("type") == "function" else {
                throw choice.error(.invalidValue, "type", expected: #""function""#)
            }
            try choice["function"].refuseOthers(["name"])
            let name = try choice["function"].requiredString("name")
            guard names.contains(name) else {
                throw choice["function"].error(
                    .invalidValue, "name", expected: "the name of one of the tools",
                    remedy: names.isEmpty
                        ? "Declare functions in tools." : "There are \(names.joined(separator: ", ")).")
            }
            toolChoice = .named(name)
        default:
            throw choice.error(
                .invalidValue,
                expected: #""auto", "none", "required" or {"type": "function", "function": {"name": "…"}}"#)
        }
    }

    private mutating func readSampling(
        _ reader: KeyReader, maxTokens keys: [String], penalty: String
    ) throws(ChatError) {
        temperature = try reader.number("temperature", in: 0...1e6) ?? temperature
        topP = try reader.number("top_p", in: 0...1) ?? topP
        minP = try reader.number("min_p", in: 0...1) ?? minP
        repetitionPenalty = try reader.number(penalty, in: 1e-6...1e6) ?? repetitionPenalty
        presencePenalty = try reader.number("presence_penalty", in: -2...2) ?? presencePenalty
        frequencyPenalty = try reader.number("frequency_penalty", in: -2...2) ?? frequencyPenalty
        topK = try reader.integer("top_k", in: 0...(.max)) ?? topK
        seed = try reader.integer("seed", in: 0...(.max)) ?? seed
        switch reader["stop"].value {
        case nil, .null?: break
        case .string(let text)? where !text.isEmpty: stop = [text]
        default:
            stop = []
            for text in try reader.array("stop") {
                guard let string = text.value?.string, !string.isEmpty else {
                    throw text.error(.invalidValue, expected: "a text that is not empty")
                }
                stop.append(string)
            }
        }
        for key in keys { maxTokens = try reader.integer(key, in: 1...(.max)) ?? maxTokens }
    }
}

extension KeyReader {
    /// Nil if the key is absent or null.
    fileprivate func flag(_ name: String) throws(ChatError) -> Bool? {
        switch self[name].value {
        case nil, .null?: return nil
        case .boolean(let flag): return flag
        default: throw error(.invalidValue, name, expected: "true or false")
        }
    }

    fileprivate func number(_ name: String, in range: ClosedRange<Double>) throws(ChatError) -> Double? {
        let number: Double
        switch self[name].value {
        case nil, .null?: return nil
        case .integer(let value): number = Double(value)
        case .number(let value): number = value
        default: throw error(.invalidValue, name, expected: "a number")
        }
        guard range.contains(number) else {
            throw error(.invalidValue, name, expected: "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    fileprivate func integer(_ name: String, in range: ClosedRange<Int>) throws(ChatError) -> Int? {
        switch self[name].value {
        case nil, .null?: return nil
        case .integer(let value) where range.contains(value): return value
        default:
            throw error(
                .invalidValue, name,
                expected: range.upperBound == .max
                    ? "an integer of \(range.lowerBound) or more"
                    : "an integer from \(range.lowerBound) to \(range.upperBound)")
        }
    }

    fileprivate func expect(_ name: String, _ only: Int) throws(ChatError) {
        guard let value = try number(name, in: -1e9...1e9), value != Double(only) else { return }
        throw error(.invalidValue, name, expected: "\(only), the only value that is supported")
    }
}
