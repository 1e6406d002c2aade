import Tensors
import TestSupport
import Testing
import Weights

@testable import Gemma4

/// Against transformers in f32. On these checkpoints that is up to 1.4e-6 of the largest output away from transformers
/// in float64, and we up to 1.7e-6 (measured over 10 clips and all components); the tolerance is five times the sum.
private let tolerance: Float = 1.5e-5

private let variants = ["E2B", "E4B"]
private let recordings = ["chirp", "bursts", "tone"]

@Suite struct AudioTowerTests {
    /// Each component on the reference's own input, so that errors do not mask each other.
    @Test(arguments: variants)
    func componentsEqualTransformers(variant: String) throws {
        let tower = try Fixture(variant)
        let goldens = try Goldens("\(variant)/expected.safetensors")
        func golden(_ name: String) throws -> Goldens.Values { try goldens("image-audio.audio.\(name)") }

        let subsampling = tower.audio.subsampling
        let mel = tower.tensor(try golden("mel"))
        let image = mel.reshaped([mel.rows, mel.columns, 1])
        tower.expectClose(subsampling.layers[1](subsampling.layers[0](image)), try golden("convolved"))
        let convolved = tower.tensor(try golden("convolved")).mergeHeads()
        tower.expectClose(subsampling.projection(convolved), try golden("subsampled"))
        var expected = try golden("subsampled")
        for (index, layer) in tower.audio.layers.enumerated() {
            let input = tower.tensor(expected)
            expected = try golden("layer.\(index)")
            tower.expectClose(layer(input), expected)
        }
        let projected = tower.audio.outputProjection(tower.tensor(expected)).adding(row: tower.audio.outputBias)
        tower.expectClose(projected, try golden("projected"))
        tower.expectClose(tower.embedder(tower.tensor(try golden("projected"))), try golden("soft"))
    }

    @Test(arguments: variants, recordings)
    func softTokensEqualTransformers(variant: String, recording: String) throws {
        let tower = try Fixture(variant)
        let soft = tower.embedder(tower.audio(try tower.frames(of: recording)))
        tower.expectClose(soft, try Goldens("\(variant)/expected.safetensors")("\(recording).soft"))
    }

    /// Only the two convolutions look ahead, token t up to frame 4t + 3: the beginning of a clip gives the reference's
    /// first tokens. From one token, shorter than the attention window, to longer.
    @Test(arguments: variants, [4, 7, 12, 45, 53, 70])
    func beginningGivesFirstTokens(variant: String, frameCount: Int) throws {
        let tower = try Fixture(variant)
        let goldens = try Goldens("\(variant)/expected.safetensors")
        let mel = tower.tensor(try goldens("image-audio.audio.mel"))
        let whole = tower.tensor(try goldens("image-audio.audio.projected"))
        let settled = frameCount / 4
        let found = tower.audio(mel[0..<frameCount])
        #expect(found.rows == (frameCount + 3) / 4)
        tower.expectClose(
            found[0..<settled],
            Goldens.Values(shape: [settled, whole.columns], values: whole[0..<settled].toArray()))
    }

    /// What is missing at the end counts as zeros: a clip of an odd number of frames, where no output of the first
    /// convolution lies in the padding alone. From a single frame. The products may take other kernels, hence a
    /// tolerance.
    @Test(arguments: variants, [1, 3, 49])
    func missingFramesAreZeros(variant: String, frameCount: Int) throws {
        let tower = try Fixture(variant)
        let frames = try tower.frames(of: "tone")[0..<frameCount]
        let padded = (frameCount + 3) / 4 * 4
        let zeros = Tensor(zeros: [padded - frameCount, frames.columns], on: tower.device)
        let expected = tower.audio(Tensor.concatenated([frames, zeros]))
        tower.expectClose(
            tower.audio(frames), Goldens.Values(shape: expected.shape.dimensions, values: expected.toArray()))
    }

    /// How rows are cut does not depend on the number of threads: no tolerance.
    @Test(arguments: variants)
    func threadCountsAgree(variant: String) throws {
        let results = try [1, 3].map { count in
            let tower = try Fixture(variant, threadCount: count)
            return tower.embedder(tower.audio(try tower.frames(of: "bursts"))).toArray()
        }
        #expect(results[0] == results[1])
    }

    /// Widening bf16 is exact, but few frames may take one kernel in bf16 and another in f32: hence a tolerance.
    @Test(arguments: variants)
    func elementTypesAgree(variant: String) throws {
        let results = try [false, true].map { widened in
            let tower = try Fixture(variant, widened: widened)
            return tower.embedder(tower.audio(try tower.frames(of: "chirp")))
        }
        try Fixture(variant).expectClose(
            results[0], Goldens.Values(shape: results[1].shape.dimensions, values: results[1].toArray()))
    }
}

/// The audio tower of a toy checkpoint.
private struct Fixture {
    let device: Device
    let audio: AudioTower
    let embedder: MultimodalEmbedder

    init(_ variant: String, threadCount: Int? = nil, widened: Bool = false) throws {
        let path = Goldens.checkpoint(variant)
        let configuration = try ModelConfiguration(contentsOf: "\(path)/config.json")
        let audio = try #require(configuration.audioConfig)
        device = Device(threadCount: threadCount)
        let checkpoint = try Checkpoint(path)
        let weights = WeightScope(widened ? WidenedWeights(checkpoint) : checkpoint, on: device)["model"]
        self.audio = try AudioTower(audio, weights["audio_tower"])
        embedder = try MultimodalEmbedder(
            audio.outputProjDims, configuration.textConfig.hiddenSize, eps: audio.rmsNormEps, weights["embed_audio"])
    }

    func frames(of recording: String) throws -> Tensor {
        let samples = try Goldens("components.safetensors")("\(recording).samples").values
        let mel = try MelSpectrogram(MelSpectrogram.Configuration())(samples)
        return Tensor(mel, [mel.count / 128, 128], on: device)
    }

    func tensor(_ golden: Goldens.Values) -> Tensor { Tensor(golden.values, Shape(golden.shape), on: device) }

    /// Within the tolerance stated above.
    func expectClose(_ found: Tensor, _ golden: Goldens.Values, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(found.shape == Shape(golden.shape), sourceLocation: sourceLocation)
        TestSupport.expectClose(
            found.toArray(), golden.values, absolute: tolerance * golden.scale, sourceLocation: sourceLocation)
    }
}
