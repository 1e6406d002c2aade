import Foundation
import Generation
import JSONText
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit

private func open(_ variant: String) throws -> Gemma4Pipeline {
    try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint(variant)), threadCount: 2)
}

private func tool(_ name: String) -> JSONValue {
    [
        "type": "function",
        "function": [
            "name": .string(name), "description": "d",
            "parameters": [
                "type": "object", "properties": ["level": ["enum": [1, 2]]], "required": ["level"],
            ],
        ],
    ]
}

private let prompt = PromptOptions(tools: [tool("lamp"), tool("fan")])
private let messages = [ChatMessage(.user, "Light!")]

/// Nets of random weights, which never call by themselves, call as they must.
@Test(arguments: ["E2B", "31B"], [UInt64(0), 1])
func answersCallAsTheyMust(variant: String, seed: UInt64) async throws {
    let pipeline = try open(variant)
    var options = GenerationOptions(sampling: .init(temperature: seed == 0 ? 0 : 1, seed: seed), maxTokens: 60)
    func calls() async throws -> (names: [String], finish: FinishReason?, text: String) {
        let answer = try await pipeline.generate(messages, prompt: prompt, options: options).answer()
        return (answer.finish?.toolCalls.map(\.name) ?? [], answer.finish?.reason, answer.text)
    }
    options.parallelToolCalls = false
    options.toolChoice = .required
    let required = try await calls()
    #expect(required.names.count == 1 && ["lamp", "fan"].contains(required.names[0]))
    #expect(required.finish == .stop && required.text.isEmpty)
    for name in ["lamp", "fan"] {
        options.toolChoice = .named(name)
        #expect(try await calls().names == [name])
    }
    options.parallelToolCalls = true
    #expect(try await calls().names.first == "fan")
}

/// Not even if a bias makes the call the most likely token.
@Test func noCallCanBeBegunWhereNoneMay() async throws {
    let pipeline = try open("E2B")
    let callStart = try #require(pipeline.tokenizer.specialTokens["<|tool_call>"])
    var sampling = SamplingOptions(temperature: 0)
    sampling.logitBias = [callStart: 100]
    var options = GenerationOptions(sampling: sampling, maxTokens: 8)
    func tokens() async throws -> [Int] {
        try await pipeline.generate(messages, prompt: prompt, options: options).answer().tokens
    }
    #expect(try await tokens().contains(callStart))
    options.toolChoice = .none
    #expect(try await !tokens().contains(callStart))
}

@Test func aToolThatIsNotThereCannotBeChosen() async throws {
    let pipeline = try open("E2B")
    func message(_ choice: ToolChoice, _ prompt: PromptOptions) async -> String {
        var options = GenerationOptions(maxTokens: 2)
        options.toolChoice = choice
        do {
            _ = try await pipeline.generate(messages, prompt: prompt, options: options).answer()
            return "no error"
        } catch {
            #expect((error as? any DiagnosedError)?.diagnosis.kind == .badInput)
            return "\(error)"
        }
    }
    #expect(
        await message(.named("oven"), prompt)
            == "tool choice, oven: expected one of the tools lamp, fan, found no such tool.")
    #expect(
        await message(.required, .init())
            == "tool choice, required: expected tools to choose from, found no such tool. Declare tools in the prompt.")
}

/// The thought before a call that must come is free, up to its budget.
@Test func aThoughtMayComeBeforeACall() async throws {
    let pipeline = try open("E2B")
    var thinking = prompt
    thinking.thinking = true
    let special = pipeline.tokenizer.specialTokens
    var options = GenerationOptions(sampling: .init(temperature: 1, seed: 5), maxTokens: 80, loopGuard: nil)
    options.toolChoice = .required
    options.parallelToolCalls = false
    options.forcedTokens = try [#require(special["<|channel>"])] + pipeline.tokenizer.encode("thought\n")
    options.thinkingBudget = 7
    let answer = try await pipeline.generate(messages, prompt: thinking, options: options).answer()
    #expect(!answer.thoughts.isEmpty && answer.text.isEmpty)
    #expect(answer.finish?.toolCalls.count == 1 && answer.finish?.reason == .stop)
}
