// All of BitSnap's public interface.
#pragma once

#include <bitsnap/agent.h>
#include <bitsnap/dtype.h>
#include <bitsnap/options.h>
#include <bitsnap/result.h>
#include <bitsnap/retention.h>
#include <bitsnap/roles.h>
#include <bitsnap/safetensors.h>
#include <bitsnap/saver.h>
#include <bitsnap/store.h>
#include <bitsnap/tensor.h>
