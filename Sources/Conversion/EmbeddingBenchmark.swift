import Foundation
import Gemma4
import Media
import Tensors

extension Benchmark {
    /// Speed of an encoder on this machine: many texts in one batch and one at a time, an image, a recording.
    package struct EmbeddingResult: Sendable, Codable {
        package var loadSeconds = 0.0
        package let texts, tokensPerText: Int
        /// For all texts, medians of the rounds.
        package var batchSeconds = 0.0
        package var singleSeconds = 0.0
        /// (slowest − fastest) / median of the rounds.
        package var batchSpread = 0.0
        package var singleSpread = 0.0
        /// Multiplications and additions with weights.
        package var batchGigaflops = 0.0
        /// SGEMM rate of OpenBLAS, measured between the rounds.
        package var sgemmGigaflopsPerSecond = 0.0
        package var image: Result.Image?
        package var audio: Result.Audio?
        package var peakResidentBytes = 0

        package var speedup: Double { singleSeconds / batchSeconds }
        package var batchGigaflopsPerSecond: Double { batchGigaflops / batchSeconds }
    }

    /// - Parameters:
    ///   - loadSeconds: the time that loading `model`, an encoder, took.
    ///   - report: called with the name of each measurement.
    /// - Throws: as `run`.
    package func embed(
        _ model: Gemma4Model, texts count: Int = 64, tokens length: Int = 32, loadSeconds: Double,
        report: (String) -> Void = { _ in }
    ) throws -> EmbeddingResult {
        var result = EmbeddingResult(texts: count, tokensPerText: length)
        result.loadSeconds = loadSeconds
        result.batchGigaflops = Double(model.operationsPerToken) * Double(count * length) / 1e9
        let clock = ContinuousClock()
        report("\(count) texts of \(length) tokens, in one batch and one at a time")
        var (batches, singles, sgemmRates): ([Double], [Double], [Double]) = ([], [], [])
        for round in 0...repeats {
            let inputs: [(tokens: [Int], softTokens: Tensor?)] = (0..<count).map {
                (randomTokens(length, model, seed: UInt64(round * count + $0)), nil)
            }
            let rate = try MachineLimits.currentSgemmRate(model.device)
            let batch = try clock.measure { _ = try model.embeddings(inputs).toArray() }.inSeconds
            let single = try clock.measure { for input in inputs { _ = try model.embeddings([input]).toArray() } }
                .inSeconds
            guard round > 0 else { continue }
            batches.append(batch)
            singles.append(single)
            sgemmRates.append(rate)
        }
        (result.batchSeconds, result.singleSeconds) = (Self.middle(batches), Self.middle(singles))
        result.batchSpread = (batches.max()! - batches.min()!) / result.batchSeconds
        result.singleSpread = (singles.max()! - singles.min()!) / result.singleSeconds
        result.sgemmGigaflopsPerSecond = Self.middle(sgemmRates)
        if model.configuration.takesImages {
            result.image = try measurePicture(
                model, try image ?? Self.picture(width: 1280, height: 960), 280, report)
        }
        if model.configuration.takesSound {
            let samples = audio ?? Self.sound(count: Int(29.6 * Double(AudioReader.sampleRate)))
            result.audio = try measureSound(model, samples, report)
        }
        result.peakResidentBytes = Self.peakResidentBytes
        return result
    }
}
