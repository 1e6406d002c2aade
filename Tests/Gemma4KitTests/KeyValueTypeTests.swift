import Conversion
import Foundation
import Gemma4Kit
import TestSupport
import Testing

/// The effect of quantized keys and values on the demo model: Kullback–Leibler divergence from float32 on its own
/// prompts and answers, in nats per token: measured below 5e-6, 7e-5 and 0.0155. Its heads are small, with 32 and 64
/// elements.
@Test(arguments: [(KeyValueType.float16, 1e-6), (.q8_0, 1e-4), (.rotated, 2e-2)])
func fewerBitsKeepWhatTheDemoExpects(type: KeyValueType, bound: Double) async throws {
    struct Sample: Decodable { let prompt, text: String }
    let demo = Goldens.folder.deletingLastPathComponent().deletingLastPathComponent().appending(path: "Models/Demo")
    let samples = try JSONDecoder().decode(
        [Sample].self, from: Data(contentsOf: demo.appending(path: "samples/expected.json")))
    func open(_ type: KeyValueType) throws -> Gemma4Pipeline {
        var precision = Precision()
        precision.keyValueType = type
        return try Gemma4Pipeline(contentsOf: demo, precision: precision)
    }
    let (exact, rounded) = (try open(.float32), try open(type))
    var comparison = QuantizationComparison()
    for sample in samples {
        let text = try exact.prompt(text: sample.prompt + sample.text).tokens
        try await comparison.add(text: text, exact.engine, rounded.engine)
    }
    #expect(comparison.positions > 400)
    #expect(comparison.meanDivergence < bound && comparison.meanDivergence > 0, "\(comparison)")
}
