// HET_HOST_DEVICE: put before a function that a CUDA kernel calls as well. nvcc
// compiles it for both; for every other compiler it is an ordinary function.

#ifndef HET_TF_KERNELS_BASE_HOST_DEVICE_H_
#define HET_TF_KERNELS_BASE_HOST_DEVICE_H_

#ifdef __CUDACC__
#define HET_HOST_DEVICE __host__ __device__
#else
#define HET_HOST_DEVICE
#endif

#endif  // HET_TF_KERNELS_BASE_HOST_DEVICE_H_
