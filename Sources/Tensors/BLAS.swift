import COpenBLAS
import Dispatch

/// Matrix products of OpenBLAS; each call runs on the calling thread. BLASCore.swift sets it up.
enum BLAS {
    /// OpenBLAS has room for the buffers of 50 callers at once, or of twice its MAX_THREADS; 0.3.21 crashes beyond that.
    private static let callers: DispatchSemaphore = {
        let setting = String(cString: openblas_get_config()).split(separator: " ").first {
            $0.hasPrefix("MAX_THREADS=")
        }
        return DispatchSemaphore(value: max(48, setting.flatMap { Int($0.dropFirst("MAX_THREADS=".count)) } ?? 0))
    }()

    /// out[t, r] = Σ_c weight[r, c] · x[t, c]; strides in elements.
    static func product(
        _ out: UnsafeMutablePointer<Float>, outStride: Int, _ weight: UnsafePointer<Float>, weightStride: Int,
        _ x: UnsafePointer<Float>, xStride: Int, tokens: Int, rows: Int, columns: Int
    ) {
        callers.wait()
        defer { callers.signal() }
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, blasint(tokens), blasint(rows), blasint(columns), 1, x,
            blasint(xStride),
            weight, blasint(weightStride), 0, out, blasint(outStride))
    }
}
