import Tensors
import TestSupport
import Testing
import Weights

@testable import Gemma4

/// Against transformers in f32, as the towers of the other variants.
private let tolerance: Float = 1.5e-5

private let pictures = ["wide", "tall", "noise"]
private let recordings = ["chirp", "bursts", "tone"]

/// The 12B, which has no towers.
@Suite struct UnifiedTests {
    /// Each step on the reference's own input, so that errors do not mask each other.
    @Test func componentsEqualTransformers() throws {
        let fixture = try Fixture()
        func golden(_ name: String) throws -> Goldens.Values { try fixture.goldens("image-audio.\(name)") }
        let vision = try #require(fixture.model.unifiedVision)
        let patches = try fixture.patches(of: "wide")
        let values = fixture.tensor(
            .init(shape: [patches.count, vision.configuration.patchValues], values: patches.values))
        fixture.expectClose(vision.projected(values), try golden("vision.projected"))
        fixture.expectClose(
            vision.positioned(
                fixture.tensor(try golden("vision.projected")), xs: patches.grid.xs, ys: patches.grid.ys),
            try golden("vision.positioned"))
        fixture.expectClose(
            vision.embedder(fixture.tensor(try golden("vision.positioned"))), try golden("vision.soft"))

        let frames = try golden("audio.frames")
        #expect(try fixture.features(fixture.samples(of: "chirp")) == frames.values)
        let audio = try #require(fixture.model.unifiedAudio)
        fixture.expectClose(audio(fixture.tensor(frames)), try golden("audio.soft"))
    }

    @Test(arguments: pictures)
    func softTokensOfPicturesEqualTransformers(picture: String) throws {
        let fixture = try Fixture()
        let patches = try fixture.patches(of: picture)
        let soft = try fixture.model.softTokens(patches)
        #expect(soft.rows == patches.softTokenCount)
        fixture.expectClose(soft, try fixture.goldens("\(picture).soft"))
    }

    @Test(arguments: recordings)
    func softTokensOfRecordingsEqualTransformers(recording: String) throws {
        let fixture = try Fixture()
        let samples = try fixture.samples(of: recording)
        let soft = try fixture.model.softTokens(sound: fixture.features(samples))
        #expect(soft.rows == fixture.features.softTokenCount(samples: samples.count))
        fixture.expectClose(soft, try fixture.goldens("\(recording).soft"))
    }

    /// Patches and frames are independent: any split gives the same. Within 1e-5 of the largest value: f32 sums are
    /// regrouped.
    @Test func portionsAgree() throws {
        let fixture = try Fixture()
        let samples = try recordings.flatMap(fixture.samples)
        let sound = try fixture.features(samples + samples)
        var job = try fixture.model.encoderJob(sound: sound)
        let whole = job.finish().toArray()
        let rows = sound.count / fixture.features.columns
        #expect(rows == 249)
        job = try fixture.model.encoderJob(sound: sound)
        var portions = 0
        var result: Tensor?
        while result == nil {
            result = job.advance(rows: 1)
            portions += 1
        }
        #expect(portions == 3)  // of at least 64 rows: 64, 64, 121
        expectClose(result!.toArray(), whole, absolute: 1e-5 * whole.reduce(1) { max($0, abs($1)) })
    }

    @Test func silenceFillsTheLastFrame() throws {
        let features = SoundFeatures.samples(perToken: 4)
        #expect(try features([1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5, 0, 0, 0])
        #expect([0, 1, 4, 5].map(features.softTokenCount) == [0, 1, 1, 2])
        // Longer than any encoder takes.
        #expect(try features([Float](repeating: 0.5, count: MelSpectrogram.maxSamples + 1)).count == 480_004)
    }

    @Test func refusesMorePatchesThanPositions() throws {
        let fixture = try Fixture()
        let limit = try #require(fixture.model.configuration.unifiedVisionConfig).mmPosembSize
        let patch = fixture.processor.patchSize * fixture.processor.patchSize * 3
        let patches = ImagePatches(
            values: [Float](repeating: 0, count: patch * (limit + 1)), grid: PatchGrid(columns: 1, rows: limit + 1),
            softTokenCount: limit + 1)
        #expect(throws: ModelInputError(.imageSide(patches: limit + 1, limit: limit))) {
            try fixture.model.softTokens(patches)
        }
    }
}

private struct Fixture {
    let model: Gemma4Model
    let goldens: Goldens
    let processor: ImageProcessor
    let features: SoundFeatures

    init() throws {
        let path = Goldens.checkpoint("12B")
        let configuration = try ModelConfiguration(contentsOf: "\(path)/config.json")
        let checkpoint = try Checkpoint(path, checkedAgainst: TensorTable(configuration))
        model = try Gemma4Model(configuration, WeightScope(checkpoint, on: Device()))
        goldens = try Goldens("12B/expected.safetensors")
        processor = try ImageProcessor(configuration, maxSoftTokens: 70)
        features = try SoundFeatures(configuration)
    }

    func patches(of picture: String) throws -> ImagePatches {
        let pixels = try Goldens("components.safetensors")("\(picture).pixels")  // [height, width, 3]
        return try processor(
            width: pixels.shape[1], height: pixels.shape[0], rgb: pixels.values.map { UInt8($0) })
    }

    func samples(of recording: String) throws -> [Float] {
        try Goldens("components.safetensors")("\(recording).samples").values
    }

    func tensor(_ golden: Goldens.Values) -> Tensor { Tensor(golden.values, Shape(golden.shape), on: model.device) }

    func expectClose(_ found: Tensor, _ golden: Goldens.Values, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(found.shape == Shape(golden.shape), sourceLocation: sourceLocation)
        TestSupport.expectClose(
            found.toArray(), golden.values, absolute: tolerance * golden.scale, sourceLocation: sourceLocation)
    }
}
