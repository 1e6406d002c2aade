import Foundation
import Gemma4
import Generation
import Tensors
import TestSupport
import Testing
import Tokenization
import Weights

@testable import Gemma4Kit

/// The same weights give the same answers in every element type, in one file or several.
///
/// f16 is not exact below 2⁻¹⁴, by 2⁻²⁵ at most (`ResavedCheckpoint`): far less than the margins of the goldens, 0.06.
@Test(
    arguments: GoldenCase.all.filter {
        $0.name == "long-text" || $0.name == (["E2B", "E4B", "12B"].contains($0.variant) ? "image-audio" : "images")
    },
    [(ResavedCheckpoint.ElementType.float32, 1), (.float16, 3), (.bfloat16, 4)])
func anyElementTypeAndAnyNumberOfShards(golden: GoldenCase, form: (type: ResavedCheckpoint.ElementType, shards: Int))
    async throws
{
    let copy = try ResavedCheckpoint(golden.checkpoint, as: form.type, shards: form.shards)
    let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: copy.path))
    let prompt = PromptOptions(resolver: .files(in: golden.mediaFolder))
    let answer = try await pipeline.generate(
        golden.messages, prompt: prompt, options: .init(sampling: .greedy, maxTokens: golden.tokens.count)
    )
    .answer()
    #expect(answer.tokens == golden.tokens)
    for (found, expected) in zip(answer.logprobs, golden.logprobs) { #expect(abs(found - expected) <= 2e-3) }
}

/// NaN in a matrix is detected when the first output is NaN, and the tensor is named.
@Test func weightsThatAreNoNumbersAreNamed() async throws {
    let copy = try ResavedCheckpoint(Goldens.checkpoint("E2B"), as: .bfloat16)
    let file = URL(filePath: copy.path).appending(path: "model.safetensors")
    var bytes = try Data(contentsOf: file)
    let headerCount = bytes.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    let header = try JSONSerialization.jsonObject(with: bytes[8..<8 + headerCount]) as? [String: Any]
    let name = "model.language_model.layers.1.mlp.up_proj.weight"
    let offsets = try #require((header?[name] as? [String: Any])?["data_offsets"] as? [Int])
    bytes.replaceSubrange(8 + headerCount + offsets[0]..<8 + headerCount + offsets[0] + 2, with: [0xC0, 0x7F])  // NaN
    try bytes.write(to: file)
    let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: copy.path))
    let expected = CheckpointError(
        .notFinite, file: file.path, place: name, expected: "finite numbers", found: "NaN or infinity",
        remedy: "The file is damaged, or was converted wrongly: download it again.")
    for sampling in [SamplingOptions.greedy, SamplingOptions(temperature: 1)] {
        await #expect(throws: expected) {
            try await pipeline.generate([ChatMessage(.user, "one")], options: .init(sampling: sampling)).answer()
        }
    }
    await #expect(throws: expected) { try await pipeline.score(pipeline.prompt(text: "one two")) }
}

@Test func anEmptyPromptIsRefused() async throws {
    let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint("E2B")))
    await #expect(throws: ModelInputError(.emptyPrompt)) { try await pipeline.generate(Prompt(tokens: [])).answer() }
}
