import Foundation
import Generation
import JSONText
import Synchronization
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit

private func open(_ variant: String = "E2B") throws -> Gemma4Pipeline {
    try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint(variant)), threadCount: 2)
}

/// A lamp that records its calls.
private struct Lamp: Tool {
    struct Arguments: Codable, Sendable, Equatable {
        enum Room: String, Codable, CaseIterable { case kitchen, hall }
        var room: Room
        var level: Int
        var note: String?
    }
    struct State: Codable, Sendable { var room: Arguments.Room, isLit: Bool }
    struct Broken: Error, CustomStringConvertible { let description = "the bulb is broken" }

    let name = "set_lamp"
    let description = "Sets a lamp."
    var isBroken = false
    let asked = Log()

    var parameters: [ToolParameter] {
        ToolParameter("room", .string(oneOf: Arguments.Room.allCases.map(\.rawValue)), "Where it is")
        ToolParameter("level", .integer(in: 0...9))
        ToolParameter("note", .init(schema: ["type": "string", "maxLength": 3]), isOptional: true)
    }

    func call(_ arguments: Arguments) async throws -> State {
        asked.add(arguments)
        if isBroken { throw Broken() }
        return State(room: arguments.room, isLit: arguments.level > 0)
    }

    final class Log: Sendable {
        private let calls = Mutex<[Arguments]>([])
        func add(_ arguments: Arguments) { calls.withLock { $0.append(arguments) } }
        var all: [Arguments] { calls.withLock { $0 } }
    }
}

@Suite struct ToolTests {
    @Test func declarationsAreOpenAIs() throws {
        #expect(
            Lamp().declaration == [
                "type": "function",
                "function": [
                    "name": "set_lamp", "description": "Sets a lamp.",
                    "parameters": [
                        "type": "object",
                        "properties": [
                            "room": ["description": "Where it is", "type": "string", "enum": ["kitchen", "hall"]],
                            "level": ["type": "integer", "minimum": 0, "maximum": 9],
                            "note": ["type": "string", "maxLength": 3],
                        ], "required": ["room", "level"],
                    ],
                ],
            ])
        // Statements that a result builder supports besides plain lines.
        @ToolParameterBuilder func list(_ isLong: Bool) -> [ToolParameter] {
            if isLong {
                ToolParameter("a", .array(of: .number(in: 0...1)))
            } else {
                ToolParameter("b", .object { ToolParameter("c", .boolean) })
            }
            for name in ["x", "y"] { ToolParameter(name, .number, isOptional: true) }
        }
        #expect(
            ToolParameter.object(list(false)) == [
                "type": "object",
                "properties": [
                    "b": ["type": "object", "properties": ["c": ["type": "boolean"]], "required": ["c"]],
                    "x": ["type": "number"], "y": ["type": "number"],
                ], "required": ["b"],
            ])
        #expect(ToolParameter.object(list(true))["properties"]?["a"]?["items"]?["maximum"] == 1.0)
    }

    @Test func resultsAreTextOrScalars() async throws {
        struct Echo<Output: Codable & Sendable>: Tool {
            struct Arguments: Codable, Sendable { var value: Output }
            let name = "echo"
            let description = ""
            var parameters: [ToolParameter] {}
            func call(_ arguments: Arguments) async throws -> Output { arguments.value }
        }
        #expect(try await Echo<String>().result(of: ["value": "a \"b\""]) == .text("a \"b\""))
        #expect(try await Echo<Int>().result(of: ["value": 3]) == .value(3))
        #expect(
            try await Echo<[String: Bool]>().result(of: ["value": ["b": true, "a": false]])
                == .text(#"{"a": false, "b": true}"#))
        guard case .text(let text) = try await Echo<Int>().result(of: ["value": "x"]) else {
            Issue.record("no text")
            return
        }
        #expect(text.hasPrefix("error: "))
    }

    /// Calls until the limit of rounds; the next answer may not call. Only the end of the turn is part of the history.
    @Test func theModelCallsUntilItAnswers() async throws {
        let pipeline = try open()
        let lamp = Lamp()
        let conversation = pipeline.conversation(tools: [lamp], toolRounds: 3)
        var options = GenerationOptions(sampling: .init(temperature: 1, seed: 1), maxTokens: 60)
        options.parallelToolCalls = false
        // Nets of random weights do not call by themselves.
        var sampling = options.sampling!
        sampling.logitBias = [try #require(pipeline.tokenizer.specialTokens["<|tool_call>"]): 1000]
        options.sampling = sampling
        let answer = try await conversation.respond(to: "Light!", options: options)
        #expect(lamp.asked.all.count == 3)
        #expect(answer.finish?.toolCalls.isEmpty == true)
        let messages = conversation.messages
        try #require(
            messages.map(\.role) == [.user] + [.assistant, .tool, .assistant, .tool, .assistant, .tool] + [.assistant])
        for (index, asked) in lamp.asked.all.enumerated() {
            let (call, result) = (messages[2 * index + 1].toolCalls[0], messages[2 * index + 2])
            #expect(
                call.arguments["room"]?.string == asked.room.rawValue && call.id == result.toolCallId && call.id != nil)
            #expect(result.content == .text(#"{"isLit": \#(asked.level > 0), "room": "\#(asked.room.rawValue)"}"#))
        }
        #expect(messages.last?.toolCalls == [])
    }

    /// A forced call applies to the first answer only; errors of the tool are passed to the model.
    @Test func aForcedCallIsForcedOnce() async throws {
        let conversation = try open().conversation(tools: [Lamp(isBroken: true)])
        var options = GenerationOptions(sampling: .init(temperature: 0), maxTokens: 60)
        options.toolChoice = .named("set_lamp")
        options.parallelToolCalls = false
        var (finishes, count) = (0, 0)
        for try await token in conversation.streamResponse(to: "Light!", options: options) {
            count += 1
            if token.finish != nil { finishes += 1 }
        }
        #expect(finishes == 1 && count > 10)
        try #require(conversation.messages.map(\.role) == [.user, .assistant, .tool, .assistant])
        #expect(conversation.messages[2].content == .text("error: the bulb is broken"))
    }

    @Test func aTurnThatIsLeftWhileAToolRunsLeavesNothingBehind() async throws {
        struct Endless: Tool {
            struct Arguments: Codable, Sendable {}
            let name = "wait"
            let description = ""
            var parameters: [ToolParameter] {}
            let begun: AsyncStream<Void>.Continuation
            func call(_ arguments: Arguments) async throws -> String {
                begun.yield()
                try await Task.sleep(for: .seconds(60))
                return ""
            }
        }
        let (begun, continuation) = AsyncStream.makeStream(of: Void.self)
        let conversation = try open().conversation(tools: [Endless(begun: continuation)])
        var options = GenerationOptions(sampling: .greedy, maxTokens: 60)
        options.toolChoice = .required
        options.parallelToolCalls = false
        let turn = Task { [options] in try await conversation.respond(to: "Wait!", options: options) }
        let end = Task {
            _ = await turn.result
            continuation.finish()
        }
        for await _ in begun { break }
        turn.cancel()
        await #expect(throws: CancellationError.self) { try await turn.value }
        await end.value
        #expect(conversation.messages.isEmpty)
        // The next turn need not wait for it.
        options.toolChoice = .none
        #expect(try await !conversation.respond(to: "one", options: options).tokens.isEmpty)
    }

    /// Twenty rounds: each prefills only tokens that no earlier prompt or answer contained, including thoughts.
    @Test(arguments: [("E2B", false), ("E2B", true), ("31B", false)])
    func noTokenIsReadTwice(variant: String, thinking: Bool) async throws {
        let pipeline = try open(variant)
        #expect(pipeline.chatTemplate.generation > .release)
        let conversation = pipeline.conversation(
            system: "Be brief.", prompt: PromptOptions(thinking: thinking, tools: [Lamp().declaration]))
        var options = GenerationOptions(sampling: .init(temperature: 1, seed: 7), maxTokens: 120, loopGuard: nil)
        options.toolChoice = .required
        options.parallelToolCalls = false
        options.thinkingBudget = 5
        var (known, read, thoughts) = (0, 0, 0)
        var new = [ChatMessage(.user, "Light!")]
        for round in 0..<20 {
            let answer = try await conversation.respond(to: new, options: options)
            let finish = try #require(answer.finish)
            #expect(!finish.toolCalls.isEmpty, "round \(round)")
            let twice = known - finish.statistics.cachedTokens
            #expect(twice <= 0, "round \(round): \(twice) of \(known) tokens are read again")
            #expect(finish.statistics.cachedTokens + finish.statistics.promptTokens == finish.promptTokens.count)
            read += finish.statistics.promptTokens
            // Neither the last sampled token nor the forced ones after it, which were appended without the model.
            let unread = 1 + answer.logprobs.reversed().prefix { $0 == 0 }.count
            known = finish.promptTokens.count + answer.tokens.count - unread
            thoughts += answer.thoughts.isEmpty ? 0 : 1
            new = finish.toolCalls.map { call in
                var result = ChatMessage(.tool, #"{"room": "\#(call.arguments["room"]?.string ?? "")", "isLit": true}"#)
                result.name = call.name
                return result
            }
        }
        #expect(await pipeline.engine.statistics.promptTokens == read)
        #expect(thinking == (thoughts > 5))
    }

    /// Text before a call stays in the turn that the model continues, and calls may be spelled differently.
    @Test func theModelGoesOnFromWhatItWrote() async throws {
        let pipeline = try open()
        let special = pipeline.tokenizer.specialTokens
        let conversation = pipeline.conversation(prompt: PromptOptions(tools: [Lamp().declaration]))
        var options = GenerationOptions(sampling: .greedy, maxTokens: 40)
        options.constrainsToolCalls = false
        let call = pipeline.tokenizer.encode(#"call:set_lamp{"level": 3}"#)
        let written =
            try pipeline.tokenizer.encode("one two") + [#require(special["<|tool_call>"])] + call
            + [#require(special["<tool_call|>"])]
        options.forcedTokens = written + [try #require(special["<|tool_response>"])]
        let first = try await conversation.respond(to: "Light!", options: options)
        #expect(first.text == "one two" && first.finish?.toolCalls.first?.arguments["level"] == 3)
        options.forcedTokens = []
        options.maxTokens = 2
        let second = try await conversation.respond(to: [ChatMessage(.tool, "done")], options: options)
        let prompt = try #require(second.finish?.promptTokens)
        let start = try #require(first.finish?.promptTokens) + written
        #expect(prompt.starts(with: start) && second.finish?.statistics.cachedTokens == start.count)
        #expect(
            pipeline.tokenizer.decode(Array(prompt[start.count...]), skipSpecial: false)
                == #"<|tool_response>response:set_lamp{value:<|"|>done<|"|>}<tool_response|>"#)
    }

    /// Results that name no call belong to the calls in their order.
    @Test func resultsArePairedWithTheirCalls() throws {
        var calls = ChatMessage(.assistant)
        calls.toolCalls = ["a", "b"].map { .init(name: $0, arguments: .object([])) }
        let said = Conversation.paired(
            [ChatMessage(.user, "x"), calls], [ChatMessage(.tool, "1"), ChatMessage(.tool, "2")])
        let template = ChatTemplate(.july, appendsEmptyThought: false)
        let text = try template.render(said).text
        #expect(text.contains(#"response:a{value:<|"|>1"#) && text.contains(#"response:b{value:<|"|>2"#))
    }
}
